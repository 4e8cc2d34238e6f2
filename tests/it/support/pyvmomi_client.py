#!/usr/bin/env python3
"""pyvmomi as a client: does with a vCenter what its users do, and says what it saw, as JSON.

    pyvmomi_client.py HOST PORT USER PASSWORD CLASS...

CLASS are event classes that are posted while the client waits for news of a collector's latest page.
"""

import json
import ssl
import sys

from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import VmomiSupport, vim, vmodl


def class_of(event):
    return VmomiSupport.GetWsdlName(type(event))


def wait(pc, version, seconds):
    options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=seconds)
    return pc.WaitForUpdatesEx(version, options)


def latest_page(content, collector):
    """A filter on the collector's latest page, and what it shows at once."""
    spec = vmodl.query.PropertyCollector.FilterSpec(
        propSet=[vmodl.query.PropertyCollector.PropertySpec(type=vim.event.EventHistoryCollector, pathSet=["latestPage"])],
        objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=collector, skip=False)],
    )
    return content.propertyCollector.CreateFilter(spec, False)


def events_of(update):
    found = []
    for filter_set in update.filterSet if update else []:
        for changed in filter_set.objectSet:
            for change in changed.changeSet:
                found += change.val if isinstance(change.val, list) else [change.val]
    return found


def main(host, port, user, password, *classes):
    context = ssl._create_unverified_context()
    connect = lambda: SmartConnect(host=host, port=int(port), user=user, pwd=password, sslContext=context)
    instance = connect()
    content = instance.RetrieveContent()
    saw = {"api": content.about.apiType, "uuid": content.about.instanceUuid, "full_name": content.about.fullName}

    # The inventory: by property reads, and by a view.
    saw["datacenters"] = [child.name for child in content.rootFolder.childEntity]
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    machines = list(view.view)
    view.Destroy()
    saw["machines"] = len(machines)
    on = next(vm for vm in machines if vm.runtime.powerState == "poweredOn")
    saw["machine"] = {"name": on.name, "host": on.runtime.host.name, "uuid": on.summary.config.instanceUuid}
    saw["time"] = instance.CurrentTime().isoformat()

    # The catalogue.
    manager = content.eventManager
    info = manager.description.eventInfo
    saw["catalogue"] = {VmomiSupport.GetWsdlName(detail.key): detail.category for detail in info}
    saw["formats"] = sum(1 for detail in info if detail.fullFormat)
    saw["max_collector"] = manager.maxCollector
    saw["latest"] = manager.latestEvent.key if manager.latestEvent else None

    # A collector: everything from the beginning, page by page.
    collector = manager.CreateCollectorForEvents(vim.event.EventFilterSpec(disableFullMessage=False))
    collector.SetCollectorPageSize(10)
    watch = latest_page(content, collector)
    update = wait(content.propertyCollector, "", 5)
    saw["latest_page"] = len(events_of(update))
    keys = []
    while True:
        page = collector.ReadNextEvents(50)
        if not page:
            break
        keys += [event.key for event in page]
    saw["keys"] = keys
    back = collector.ReadPreviousEvents(5)
    saw["previous"] = [event.key for event in back]
    collector.RewindCollector()
    saw["rewound"] = [event.key for event in collector.ReadNextEvents(3)]
    try:
        collector.SetCollectorPageSize(1001)
        saw["page_size"] = "taken"
    except vmodl.fault.InvalidArgument as fault:
        saw["page_size"] = fault.invalidProperty

    # News: posted events, as the wait shows them and as reading brings them.
    while wait(content.propertyCollector, update.version, 1):
        update = wait(content.propertyCollector, "", 1)
    posted = []
    for name in classes:
        kind = VmomiSupport.GetWsdlType("urn:vim25", name)
        event = kind(key=0, chainId=0, createdTime=instance.CurrentTime(), userName="")
        if hasattr(event, "message"):
            event.message = "posted <&> by pyvmomi"
        event.vm = vim.event.VmEventArgument(name=on.name, vm=on)
        if isinstance(event, vim.event.AlarmStatusChangedEvent):
            root, me = content.rootFolder, vim.event.ManagedEntityEventArgument
            event.alarm = vim.event.AlarmEventArgument(name="Posted", alarm=vim.alarm.Alarm("alarm-1", instance._stub))
            event.source, event.entity = me(name=root.name, entity=root), me(name=on.name, entity=on)
            setattr(event, "from", "green")
            event.to = "red"
        manager.PostEvent(event)
        news = wait(content.propertyCollector, update.version, 5)
        posted.append({"class": name, "seen": name in [class_of(event) for event in events_of(news)]})
        update = news or update
    saw["posted"] = posted
    collector.ResetCollector()
    read = collector.ReadNextEvents(100)
    mine = [event for event in read if event.key > keys[-1] and class_of(event) in classes]
    saw["read"] = [class_of(event) for event in mine]
    saw["messages"] = [getattr(event, "message", None) for event in mine]
    saw["full"] = [event.fullFormattedMessage for event in mine]
    saw["users"] = sorted({event.userName for event in mine})
    watch.Destroy()
    collector.DestroyCollector()
    try:
        collector.ReadNextEvents(1)
        saw["destroyed"] = "reads on"
    except vmodl.fault.ManagedObjectNotFound:
        saw["destroyed"] = "ManagedObjectNotFound"

    # One shot, by type and by machine.
    by_type = vim.event.EventFilterSpec(eventTypeId=list(classes))
    saw["queried"] = [class_of(event) for event in manager.QueryEvents(by_type)]
    entity = vim.event.EventFilterSpec.ByEntity(entity=on, recursion="self")
    about = manager.QueryEvents(vim.event.EventFilterSpec(entity=entity))
    # A clone's first event is also its source's.
    named = lambda event: [vm.name for vm in (event.vm, getattr(event, "sourceVm", None)) if vm]
    saw["about"] = sum(on.name in named(event) for event in about)
    saw["strangers"] = [class_of(event) for event in about if event.vm and on.name not in named(event)]

    # A task.
    WaitForTask(on.PowerOffVM_Task())
    saw["power"] = on.runtime.powerState
    try:
        WaitForTask(on.PowerOffVM_Task())
        saw["twice"] = "taken"
    except vim.fault.InvalidPowerState as fault:
        saw["twice"] = fault.existingState

    # Another session, which this one ends.
    other = connect()
    key = other.RetrieveContent().sessionManager.currentSession.key
    saw["sessions"] = len(content.sessionManager.sessionList)
    content.sessionManager.TerminateSession([key])
    try:
        other.CurrentTime()
        other.RetrieveContent().rootFolder.name
        saw["terminated"] = "goes on"
    except vim.fault.NotAuthenticated:
        saw["terminated"] = "NotAuthenticated"
    try:
        SmartConnect(host=host, port=int(port), user=user, pwd="wrong", sslContext=context)
        saw["wrong_password"] = "taken"
    except vim.fault.InvalidLogin:
        saw["wrong_password"] = "InvalidLogin"
    Disconnect(instance)
    json.dump(saw, sys.stdout)


main(*sys.argv[1:])
