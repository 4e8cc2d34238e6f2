#!/usr/bin/env python3
"""pyvmomi as the judge of the newest shape.

    pyvmomi_judge.py make SEED COUNT FOLDER   pages of random events of every class, written by pyvmomi's own serialiser
    pyvmomi_judge.py read PAGE...             pages from elsewhere

For each page, the events that pyvmomi's own deserialiser reads from it are written next to it, as PAGE.judged: a JSON
array of {"class": WSDL name, "data": {...}}. Values are pyvmomi's, under the names that the payload has: None is null,
a time is {"$time": microseconds since 1970}, a reference {"Type", "Value"}, bytes are base64, a fault that travelled
wrapped is wrapped again.
"""

import base64
import datetime
import json
import os
import random
import sys

from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl
from pyVmomi.VmomiSupport import DataObject, Enum, GetWsdlMethod, GetWsdlName, GetWsdlType, ManagedMethod, ManagedObject
from pyVmomi.VmomiSupport import Object, PropertyPath, Type, binary

NS = "urn:vim25"
HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = VmomiSupport.newestVersions.GetName("vim")
HEAD = ('<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
        '<soapenv:Body>\n<ReadNextEventsResponse xmlns="urn:vim25">')
TAIL = "</ReadNextEventsResponse>\n</soapenv:Body>\n</soapenv:Envelope>"
# pyvmomi's own additions to every object, which no server sends.
HIDDEN = {"dynamicType", "dynamicProperty"}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def hidden(value, prop):
    return prop in HIDDEN or prop == "msg" and isinstance(value, Exception)


def name_of(prop):
    return prop[0].upper() + prop[1:]


def canonical(value, declared=object):
    if value is None:
        return None
    if isinstance(value, list):
        item = getattr(declared, "Item", object) if declared is not object else object
        items = [canonical(v, item) for v in value]
        if declared is object:
            wrapper = "ManagedObjectReference" if issubclass(value.Item, ManagedObject) else GetWsdlName(value.Item)
            return {name_of(wrapper): items}
        if item is BYTE:
            return base64.b64encode(bytes(v & 255 for v in value)).decode() or None
        return items
    if isinstance(value, Exception):
        inner = data_of(value)
        return {"Fault": inner, "LocalizedMessage": value.msg}
    if isinstance(value, DataObject):
        return data_of(value)
    if isinstance(value, ManagedObject):
        out = {"Type": GetWsdlName(Type(value)), "Value": value._moId}
        if value._serverGuid is not None:
            out["ServerGuid"] = value._serverGuid
        return out
    if isinstance(value, type):
        return GetWsdlName(value)
    if isinstance(value, ManagedMethod):
        return value.info.wsdlName
    if isinstance(value, datetime.datetime):
        return {"$time": (value - EPOCH) // datetime.timedelta(microseconds=1)}
    if isinstance(value, binary):
        return base64.b64encode(value).decode()
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return {"$float": value}
    if isinstance(value, int):
        return int(value)
    return str(value)


def data_of(value):
    out = {}
    for prop in value._GetPropertyList():
        if not hidden(value, prop.name):
            out[name_of(prop.name)] = canonical(getattr(value, prop.name), prop.type)
    return out


def judge(path):
    with open(path, "rb") as f:
        page = f.read()
    events = SoapAdapter.SoapResponseDeserializer(None).Deserialize(page, EVENTS)
    judged = [{"class": GetWsdlName(Type(e)), "data": data_of(e)} for e in events]
    with open(path + ".judged", "w", encoding="utf-8") as f:
        json.dump(judged, f)
    return len(judged)


EVENTS = VmomiSupport.GetVmodlType("vim.event.Event[]")
BYTE, SHORT, INT, LONG, FLOAT, DOUBLE = map(VmomiSupport.GetVmodlType, ("byte", "short", "int", "long", "float", "double"))


class Maker:
    """Fills objects of any of pyvmomi's types."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        with open(os.path.join(HERE, "../../../tools/schema/vim25.json"), encoding="utf-8") as f:
            self.types = json.load(f)["types"]
        self.children = {}
        for name, (base, _, _) in self.types.items():
            self.children.setdefault(base, []).append(name)

    def below(self, name):
        found = [name]
        for child in self.children.get(name, ()):
            found += self.below(child)
        return found

    def text(self):
        return self.r.choice(["", "vm-01", " lead\n", "<a href=\"x\">&amp; ]]></a>", "Über 漢字 😀", "a\tb\\c", "\u2028", "x" * 200])

    def time(self):
        at = EPOCH + datetime.timedelta(seconds=self.r.randrange(4_000_000_000))
        return at + datetime.timedelta(microseconds=self.r.choice([0, 1000, 123456, 500000]))

    def number(self, bits):
        top = 2 ** (bits - 1)
        return self.r.choice([0, 1, -1, top - 1, -top, self.r.randrange(-top, top)])

    def reference(self, of):
        if of is ManagedObject or of.__name__ in ("vmodl.ManagedObject", "vim.ManagedEntity", "vim.ExtensibleManagedObject"):
            of = vim.VirtualMachine
        return of(f"{GetWsdlName(of).lower()}-{self.r.randrange(1000)}", None, self.r.choice([None, None, "guid-1"]))

    def anything(self, item=False):
        v = VmomiSupport
        made = [
            lambda: self.text(), lambda: bool(self.r.randrange(2)), lambda: INT(self.number(32)),
            lambda: LONG(self.number(64)), lambda: SHORT(self.number(16)), lambda: BYTE(self.number(8)),
            lambda: DOUBLE(self.r.choice([0.5, -1.25, 1e21, 1e-7])), lambda: self.time(),
            lambda: self.reference(vim.HostSystem), lambda: vim.VirtualMachine.PowerState.poweredOn,
            lambda: binary(b"\x01\x02\xff"),
        ]
        if not item:    # pyvmomi does not read arrays that are items of an anyType[]
            made += [
                lambda: v.GetVmodlType("string[]")(["a", self.text()]),
                lambda: v.GetVmodlType("int[]")([INT(1), INT(self.number(32))]),
                lambda: v.GetVmodlType("vmodl.ManagedObject[]")([self.reference(vim.Datastore)]),
            ]
        return self.r.choice(made)()

    def value(self, of, depth, item=False):
        if of is object:
            return self.anything(item)
        if of is bool:
            return bool(self.r.randrange(2))
        for kind, bits in ((BYTE, 8), (SHORT, 16), (INT, 32), (LONG, 64)):
            if of is kind:
                return of(self.number(bits))
        if of is type:
            return self.r.choice([vim.VirtualMachine, vim.HostSystem])
        if of is ManagedMethod:
            return GetWsdlMethod(NS, "PowerOnVM_Task")
        if of is datetime.datetime:
            return self.time()
        if of is binary:
            return binary(bytes(self.r.randrange(256) for _ in range(self.r.randrange(1, 9))))
        if issubclass(of, float):
            return of(self.r.choice([0.0, 0.5, -1.25, 100.0, 123456.78]))
        if issubclass(of, Enum):
            return self.r.choice([e for e in of.values if e != "unknown"] or of.values)
        if issubclass(of, ManagedObject):
            return self.reference(of)
        if issubclass(of, DataObject):
            name = GetWsdlName(of)
            choices = self.below(name) if name in self.types else [name]
            return self.object(GetWsdlType(NS, self.r.choice(choices)), depth + 1)
        return of(self.text())

    def object(self, of, depth, full=None):
        made = of()
        if isinstance(made, Exception):
            made.msg = self.text()
        for prop in made._GetPropertyList():
            if hidden(made, prop.name):
                continue
            optional = prop.flags & VmomiSupport.F_OPTIONAL
            if full is False and optional:
                continue
            if optional and full is None and self.r.random() > 0.6 - 0.15 * depth:
                continue
            if optional and depth > 3:
                continue
            if issubclass(prop.type, list):
                if depth > 12:
                    setattr(made, prop.name, prop.type())
                    continue
                items = [self.value(prop.type.Item, depth, True) for _ in range(self.r.randrange(1, 3) if depth < 3 else 1)]
                setattr(made, prop.name, prop.type(items))
            else:
                setattr(made, prop.name, self.value(prop.type, depth))
        return made

    def events(self, count):
        for name in sorted(self.below("Event")):
            for i in range(count):
                yield self.object(GetWsdlType(NS, name), 0, [True, False, None][min(i, 2)])
        # Every type there is, as the value of an argument.
        faults = set(self.below("MethodFault")) | {"LocalizedMethodFault"}
        rest = [n for n in sorted(self.types) if n not in faults and not n.startswith("Dynamic")]
        for start in range(0, len(rest), 20):
            event = self.object(vim.event.EventEx, 0, False)
            event.arguments = [vmodl.KeyAnyValue(key=n, value=self.object(GetWsdlType(NS, n), 2)) for n in rest[start:start + 20]]
            yield event


def make(seed, count, folder):
    info = Object(name="returnval", index=-1, type=vim.event.Event, version="vim.version.version1", flags=0)
    maker, page, pages, skipped = Maker(seed), [], 0, 0

    def flush():
        nonlocal page, pages
        if page:
            path = os.path.join(folder, f"page-{pages:04}.xml")
            with open(path, "w", encoding="utf-8", newline="") as f:
                f.write(HEAD + "".join(page) + TAIL)
            judge(path)
            page, pages = [], pages + 1

    for event in maker.events(count):
        xsi = {SoapAdapter.XMLNS_XSI: "xsi", SoapAdapter.XMLNS_XSD: "xsd", NS: ""}
        page.append(SoapAdapter.SerializeToStr(event, info, VERSION, xsi))
        if len(page) == 100:
            flush()
    flush()
    print(json.dumps({"pages": pages, "skipped": skipped, "pyvmomi": VERSION}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        for path in sys.argv[2:]:
            judge(path)
