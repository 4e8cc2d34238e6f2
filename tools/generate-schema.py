#!/usr/bin/env python3
"""The table of vSphere's data types, from pyvmomi's type tables to Rust.

    generate-schema.py extract    needs `pip install pyvmomi`; writes tools/schema/vim25.json
    generate-schema.py render     needs nothing else; writes src/vim25/schema/table.rs from that file
    generate-schema.py check      fails if table.rs is not what `render` would write

pyvmomi's tables are lines like CreateDataType(vmodl name, WSDL name, base, version, [(field, type, version, flags)]).
They are read as literals; no code of the package runs. What they do not say is written down here: which elements
govmomi's structs show as null, and which as a zero value, when they are absent.
"""

import ast
import importlib.util
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = os.path.join(HERE, "schema", "vim25.json")
TABLE = os.path.join(HERE, "..", "src", "vim25", "schema", "table.rs")

# The shapes a user can ask for, and the API version each one shows. A release is named by what it shipped with:
# 8.0 came out as API 8.0.0.1.
SHAPES = [
    ("6.7", "6.7.3"), ("7.0", "7.0.0.0"), ("7.0.1", "7.0.1.0"), ("7.0.2", "7.0.2.0"), ("7.0.3", "7.0.3.0"),
    ("8.0", "8.0.0.1"), ("8.0.1", "8.0.1.0"), ("8.0.2", "8.0.2.0"), ("8.0.3", "8.0.3.0"),
    ("9.0", "9.0.0.0"), ("9.1", "9.1.0.0"),
]

# pyvmomi's primitive types under their XML Schema names. vmodl.URI is a string to govmomi as well.
PRIMITIVES = {
    "string": "string", "int": "int", "long": "long", "short": "short", "byte": "byte", "boolean": "boolean",
    "double": "double", "float": "float", "anyType": "anyType", "type": "string",
    "vmodl.DateTime": "dateTime", "vmodl.Binary": "base64Binary", "vmodl.URI": "string",
    "vmodl.PropertyPath": "string", "vmodl.TypeName": "string", "vmodl.MethodName": "string",
}

# Types that every client has built in, so that the tables leave them out.
BUILT_IN = {
    "vmodl.MethodFault": ("MethodFault", None, [
        ("faultCause", "LocalizedMethodFault", "?"), ("faultMessage", "LocalizableMessage[]", "?")]),
    "vmodl.RuntimeFault": ("RuntimeFault", "MethodFault", []),
    "vmodl.LocalizedMethodFault": ("LocalizedMethodFault", "DynamicData", [
        ("fault", "MethodFault", ""), ("localizedMessage", "string", "?")]),
    "vmodl.DynamicData": ("DynamicData", None, []),
}

OPTIONAL, LINK = 4, 1

# Numbers that govmomi holds as pointers, required fields that it does, and optional ones that it does not. The rule
# alone (see `flags`) has all the others right.
NULL_ANYWAY = set("""
CpuIncompatible1ECX.aes CpuIncompatible1ECX.pclmulqdq
DVSMacLearningPolicy.limit
DvsHostInfrastructureTrafficResourceAllocation.limit DvsHostInfrastructureTrafficResourceAllocation.reservation
LimitExceeded.limit
NamespaceLimitReached.limit
ResourceAllocationInfo.limit ResourceAllocationInfo.overheadLimit ResourceAllocationInfo.reservation
StorageIOAllocationInfo.limit StorageIOAllocationInfo.reservation
VirtualDevice.unitNumber
VirtualEthernetCardResourceAllocation.limit VirtualEthernetCardResourceAllocation.reservation
ClusterDasAdmissionControlPolicy.resourceReductionToToleratePercent
ConfigTarget.smcPresent
DVSConfigInfo.networkResourceManagementEnabled
DVSNetworkResourcePoolAllocationInfo.limit
DatastoreCapability.nativeSnapshotSupported DatastoreCapability.storageIORMSupported
DvsVnicAllocatedResource.reservation
FileQueryFlags.fileOwner
GuestOsDescriptor.diskUuidEnabled GuestOsDescriptor.ich7mRecommended GuestOsDescriptor.recommended3D
GuestOsDescriptor.smcRecommended GuestOsDescriptor.smcRequired GuestOsDescriptor.supportedForCreate
GuestOsDescriptor.supports3D GuestOsDescriptor.supportsCpuHotAdd GuestOsDescriptor.supportsCpuHotRemove
GuestOsDescriptor.supportsHotPlugPCI GuestOsDescriptor.supportsMemoryHotAdd
GuestOsDescriptor.supportsPvscsiControllerForBoot GuestOsDescriptor.supportsVMI GuestOsDescriptor.usbRecommended
GuestOsDescriptor.vRAMSizeInKB
GuestPosixFileAttributes.groupId GuestPosixFileAttributes.ownerId
HostCapability.accel3dSupported HostCapability.cloneFromSnapshotSupported HostCapability.deltaDiskBackingsSupported
HostCapability.eightPlusHostVmfsSharedAccessSupported HostCapability.featureCapabilitiesSupported
HostCapability.ftSupported HostCapability.hbrNicSelectionSupported
HostCapability.interVMCommunicationThroughVMCISupported HostCapability.latencySensitivitySupported
HostCapability.nestedHVSupported HostCapability.perVMNetworkTrafficShapingSupported
HostCapability.provisioningNicSelectionSupported HostCapability.recordReplaySupported HostCapability.smpFtSupported
HostCapability.snapshotRelayoutSupported HostCapability.storageIORMSupported HostCapability.storageVMotionSupported
HostCapability.tpmSupported HostCapability.vPMCSupported HostCapability.vStorageCapable
HostCapability.virtualExecUsageSupported HostCapability.vmfsDatastoreMountCapable
HostCapability.vmotionWithStorageVMotionSupported HostCapability.vrNfcNicSelectionSupported
HostConfigSummary.faultToleranceEnabled
HostDatastoreSystemCapabilities.vmfsExtentExpansionSupported
HostHardwareInfo.smcPresent
HostLowLevelProvisioningManagerDiskLayoutSpec.unitNumber
HostNetCapabilities.ipV6Supported
HostPlacedVirtualNicIdentifier.reservation
ScheduledTaskInfo.taskObject
StorageIORMConfigOption.reservationEnabledOption StorageIORMConfigOption.statsCollectionEnabledOption
StorageIORMInfo.reservationEnabled StorageIORMInfo.statsCollectionEnabled
UserSession.extensionSession
VirtualDeviceOption.hotRemoveSupported
VirtualDiskFlatVer2BackingOption.deltaDiskFormat VirtualDiskFlatVer2BackingOption.eagerlyScrub
VirtualDiskFlatVer2BackingOption.thinProvisioned
VirtualDiskOption.ioAllocationOption
VirtualHardwareOption.numCoresPerSocket VirtualHardwareOption.numUSBXHCIControllers
VirtualHardwareOption.resourceConfigOption
VirtualMachineCapability.bootRetryOptionsSupported VirtualMachineCapability.changeTrackingSupported
VirtualMachineCapability.featureRequirementSupported VirtualMachineCapability.guestAutoLockSupported
VirtualMachineCapability.hostBasedReplicationSupported VirtualMachineCapability.memoryReservationLockSupported
VirtualMachineCapability.multipleCoresPerSocketSupported VirtualMachineCapability.nestedHVSupported
VirtualMachineCapability.poweredOnMonitorTypeChangeSupported VirtualMachineCapability.recordReplaySupported
VirtualMachineCapability.seSparseDiskSupported VirtualMachineCapability.settingDisplayTopologySupported
VirtualMachineCapability.vPMCSupported VirtualMachineCapability.vmNpivWwnDisableSupported
VirtualMachineCapability.vmNpivWwnUpdateSupported
VirtualMachineConfigOptionDescriptor.createSupported VirtualMachineConfigOptionDescriptor.defaultConfigOption
VirtualMachineConfigOptionDescriptor.runSupported VirtualMachineConfigOptionDescriptor.upgradeSupported
VirtualMachineRuntimeInfo.consolidationNeeded VirtualMachineRuntimeInfo.onlineStandby
VirtualPCIControllerOption.numPCIPassthroughDevices VirtualPCIControllerOption.numParaVirtualSCSIControllers
VirtualPCIControllerOption.numSATAControllers VirtualPCIControllerOption.numSasSCSIControllers
VirtualPCIControllerOption.numVmciDevices VirtualPCIControllerOption.numVmxnet3EthernetCards
WaitOptions.maxWaitSeconds
""".split())
VALUE_ANYWAY = set("""
NoPermission.object
DVSFeatureCapability.vmDirectPathGen2Supported
HostFibreChannelOverEthernetHba.markedForRemoval
VirtualMachineDeviceRuntimeInfoVirtualEthernetCardRuntimeState.vmDirectPathGen2Active
""".split())
# govmomi's structs for 7.0 (0.23 to 0.25) have this type already, and they define the shape.
SINCE_70 = {"FeatureEVCMode"}
# Said to be old by newer tables, but neither pyvmomi 6.7.3 nor govmomi up to 0.25 has them.
NOT_IN_70 = set("""
AuthenticationRequiredChallenge ComputeResourceHostSeedSpecSingleHostSpec InvalidToken TransitGatewayConfigInfo
TransitGatewayConfigSpec TransitGatewayCreateSpec VirtualMachineVirtualDeviceGroupsDeviceGroup
VirtualMachineVirtualDeviceGroupsVendorDeviceGroup vslmVClockInfo
""".split())
# A pointer up to govmomi 0.22, a value from 0.23 on.
NULL_IN_67 = {"ReplicationVmFault.vm"}


def calls(path):
    """The calls at the start of a line of one of pyvmomi's tables: (function, arguments)."""
    known = re.compile(r"(CreateDataType|CreateManagedType|CreateEnumType|AddVersion|AddVersionParent)\((.*)\)\s*$")
    flags = {"F_LINK": "1", "F_LINKABLE": "2", "F_OPTIONAL": "4", "F_SECRET": "8"}
    for line in open(path, encoding="utf-8"):
        found = known.match(line)
        if found:
            arguments = re.sub(r"\bF_[A-Z]+\b", lambda m: flags[m[0]], found[2])
            arguments = re.sub(r"(\d)\s*\|\s*(\d)", lambda m: str(int(m[1]) | int(m[2])), arguments)
            arguments = re.sub(r"(\d)\s*\|\s*(\d)", lambda m: str(int(m[1]) | int(m[2])), arguments)
            yield found[1], ast.literal_eval("(" + arguments + ",)")


def extract():
    spec = importlib.util.find_spec("pyVmomi")
    if spec is None:
        sys.exit("pyVmomi is not installed here: pip install pyvmomi")
    package = os.path.dirname(spec.origin)
    data, managed, enums, ids, parents = {}, set(), {}, {}, {}
    for table in ("_typeinfo_core.py", "_typeinfo_query.py", "_typeinfo_vim.py"):
        for function, args in calls(os.path.join(package, table)):
            if function == "CreateDataType":
                data.setdefault(args[0], args[1:])
            elif function == "CreateManagedType":
                managed.add(args[0])
            elif function == "CreateEnumType":
                enums.setdefault(args[0], args[1:])
            elif function == "AddVersion":
                ids[args[0]] = args[2]
            else:
                parents.setdefault(args[0], set()).add(args[1])

    # vim25's versions are one line of descent: everything up to 6.7.3 is rank 0, later ones count up from there.
    line = sorted((v for v in ids if v.startswith("vim.version.")), key=lambda v: len(parents.get(v, ())))
    for older, newer in zip(line, line[1:]):
        if older not in parents.get(newer, ()):
            sys.exit(f"{newer} does not follow {older}: the versions no longer form one line")
    base = next(i for i, v in enumerate(line) if ids[v] == "6.7.3")
    rank = {v: max(0, i - base) for i, v in enumerate(line)}
    versions = [ids[v] for v in line[base:]]
    rank_70 = versions.index("7.0.0.0")

    def since(version, name=""):
        if name in SINCE_70:
            return rank_70
        if name in NOT_IN_70:
            return max(rank_70 + 1, since(version))
        if version in rank:
            return rank[version]
        # One of the core's own versions: the first of vim25's that builds on it brought it along.
        return next((rank[v] for v in line if version in parents.get(v, ())), 0)

    def wsdl(kind, link):
        array = "[]" if kind.endswith("[]") else ""
        kind = kind.removesuffix("[]")
        if link:
            return "string" + array
        if kind in PRIMITIVES:
            return PRIMITIVES[kind] + array
        if kind == "vmodl.MethodFault":
            return "LocalizedMethodFault" + array    # a fault travels wrapped
        if kind in BUILT_IN:
            return BUILT_IN[kind][0] + array
        if kind in data:
            return data[kind][0] + array
        if kind in enums:
            return "string" + array
        if kind in managed or kind == "vmodl.ManagedObject":
            return "ManagedObjectReference" + array
        sys.exit(f"unknown type {kind}")

    types = {}
    for name, parent, fields in BUILT_IN.values():
        types[name] = [parent, 0, [[n, k, f, 0] for n, k, f in fields]]
    for vmodl, (name, parent, version, fields) in data.items():
        if vmodl in BUILT_IN or vmodl == "vmodl.DataObject":
            continue
        own = []
        for field, kind, version_of_field, bits in (f[:4] for f in fields or []):
            key = f"{name}.{field}"
            flags = "?" if bits & OPTIONAL else ""
            flags += "n" if key in NULL_ANYWAY else "v" if key in VALUE_ANYWAY else "6" if key in NULL_IN_67 else ""
            own.append([field, wsdl(kind, bits & LINK), flags, since(version_of_field, name)])
        above = None if not parent or parent == "vmodl.DataObject" else (BUILT_IN.get(parent) or data[parent])[0]
        types[name] = [above, since(version, name), own]
    version = re.search(r"^Version: (\S+)", metadata(package), re.M)
    out = {
        "pyvmomi": version[1] if version else "",
        "versions": versions,
        "enums": {name: since(version) for name, version, _ in sorted(enums.values())},
        "types": dict(sorted(types.items())),
    }
    with open(SCHEMA, "w", encoding="utf-8") as f:
        f.write('{\n"pyvmomi": %s,\n"versions": %s,\n' % (json.dumps(out["pyvmomi"]), json.dumps(versions)))
        for part in ("enums", "types"):
            rows = (f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in out[part].items())
            f.write(f'"{part}": {{\n' + ",\n".join(rows) + ("\n},\n" if part == "enums" else "\n}\n"))
        f.write("}\n")


def metadata(package):
    folder = os.path.dirname(package)
    for entry in os.listdir(folder):
        if entry.lower().startswith("pyvmomi-") and entry.endswith(".dist-info"):
            return open(os.path.join(folder, entry, "METADATA"), encoding="utf-8").read()
    return ""


def slot(name):
    """The table's hash; `schema::hash` is the same."""
    h, data, mask = 0, name.encode(), (1 << 64) - 1
    whole = len(data) - len(data) % 8
    for word in [data[i:i + 8] for i in range(0, whole, 8)] + [data[whole:]]:
        h = ((h << 5 | h >> 59) ^ int.from_bytes(word, "little")) * 0x517CC1B727220A95 & mask
    return h ^ (h >> 32)


def wrapped(items, width=118):
    """Items, joined to lines of at most `width` characters."""
    line, out = "   ", []
    for item in items:
        if len(line) + len(item) + 2 > width:
            out.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join(out + [line]) + "\n"


KINDS = {"string": "Text", "boolean": "Bool", "byte": "Byte", "short": "Short", "int": "Int", "long": "Long",
         "float": "Float", "double": "Double", "dateTime": "Time", "anyType": "Any", "base64Binary": "Bytes",
         "ManagedObjectReference": "Reference"}


def render():
    schema = json.load(open(SCHEMA, encoding="utf-8"))
    types, versions = schema["types"], schema["versions"]
    number = {name: i for i, name in enumerate(types)}
    children = {}
    for name, (parent, since, _) in types.items():
        if parent:
            children.setdefault(parent, []).append(since)
            assert types[parent][1] <= since, f"{name} is older than its base {parent}"
    rows, fields = [], []
    for name, (parent, since, own) in types.items():
        poly = min(children.get(name, [255]))
        above = number[parent] if parent else "NONE"
        rows.append(f'    t("{name}", {above}, {len(fields)}, {len(own)}, {since}, {poly}),\n')
        for field, kind, flags, since_field in own:
            array = kind.endswith("[]")
            kind = kind.removesuffix("[]")
            assert field.isascii() and len(field) < 128
            bits = [flag for sign, flag in (("?", "OPT"), ("n", "NULL"), ("v", "VALUE"), ("6", "NULL67")) if sign in flags]
            if array:
                bits.append("ARRAY")
            if kind in KINDS:
                what, of = KINDS[kind], "NONE"
                if kind == "byte" and array:
                    what, bits = "ByteArray", [b for b in bits if b != "ARRAY"]    # byte[] is one value to govmomi
            else:
                what, of = "Object", number[kind]
            fields.append(f'    f("{field}", {what}, {"|".join(bits) or "0"}, {since_field}, {of}),\n')
    size = 1
    while size < 2 * len(types):
        size *= 2
    slots = [65535] * size
    for name, i in number.items():
        at = slot(name) % size
        while slots[at] != 65535:
            at = (at + 1) % size
        slots[at] = i
    shapes = [(name, version, versions.index(version)) for name, version in SHAPES]
    shapes.append(("latest", versions[-1], len(versions) - 1))
    out = [
        "//! Generated by `tools/generate-schema.py render` from `tools/schema/vim25.json`"
        f" (pyvmomi {schema['pyvmomi']}). Do not edit.\n\n",
        "use super::Kind::*;\nuse super::{ARRAY, Field, NONE, NULL, NULL67, OPT, Type, VALUE, f, t};\n\n",
        "/// What a user may ask for: name, API version, and the rank that the version has in the table.\n",
        f"pub(super) static SHAPES: [(&str, &str, u8); {len(shapes)}] = [\n",
        *(f'    ("{name}", "{version}", {rank}),\n' for name, version, rank in shapes), "];\n\n",
        "/// Every data type by name: its base, its own fields, the rank that brought it, the rank that first had a type\n"
        "/// derived from it.\n",
        f"pub(super) static TYPES: [Type; {len(rows)}] = [\n", *rows, "];\n\n",
        "/// The types' own fields, in declaration order.\n",
        f"pub(super) static FIELDS: [Field; {len(fields)}] = [\n", *fields, "];\n\n",
        "/// Enumerations by name, with the rank that brought each.\n",
        f"pub(super) static ENUMS: [(&str, u8); {len(schema['enums'])}] = [\n",
        wrapped(f'("{name}", {since})' for name, since in sorted(schema["enums"].items())), "];\n\n",
        "/// Where a type's name lies in `TYPES`: open addressing by `hash`.\n",
        f"pub(super) static SLOTS: [u16; {size}] = [\n", wrapped("NONE" if s == 65535 else str(s) for s in slots), "];\n",
    ]
    return "".join(out)


def main():
    action = sys.argv[1] if len(sys.argv) == 2 else ""
    if action == "extract":
        extract()
    elif action == "render":
        with open(TABLE, "w", encoding="utf-8") as f:
            f.write(render())
    elif action == "check":
        if open(TABLE, encoding="utf-8").read() != render():
            sys.exit("src/vim25/schema/table.rs is not what tools/generate-schema.py renders: run it again")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
