//! What the catalogue says by hand: of the classes that happen in the simulated data centre, and of the type ids of
//! `EventEx` and `ExtendedEvent`. The rest of the catalogue follows from the classes' names.

/// A class: its name, what it is called, its category, and the format of its message.
pub(super) type Row = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
pub(super) const CLASSES: &[Row] = &[
    ("AlarmAcknowledgedEvent", "Alarm acknowledged", "info", "Acknowledged alarm '{alarm.name}' on {entity.name}"),
    ("AlarmActionTriggeredEvent", "Alarm action triggered", "info", "Alarm '{alarm.name}' on {entity.name} triggered an action"),
    ("AlarmEmailCompletedEvent", "Alarm email sent", "info", "Alarm '{alarm.name}' on {entity.name} sent email to {to}"),
    ("AlarmEmailFailedEvent", "Alarm email not sent", "error", "Alarm '{alarm.name}' on {entity.name} cannot send email to {to}"),
    ("AlarmSnmpCompletedEvent", "Alarm SNMP trap sent", "info", "Alarm '{alarm.name}': an SNMP trap for entity {entity.name} was sent"),
    ("AlarmStatusChangedEvent", "Alarm status changed", "info", "Alarm '{alarm.name}' on {entity.name} changed from {from.@enum.ManagedEntity.Status} to {to.@enum.ManagedEntity.Status}"),
    ("AlreadyAuthenticatedSessionEvent", "Already authenticated", "user", "User cannot logon since the user is already logged on"),
    ("BadUsernameSessionEvent", "Invalid user name", "error", "Cannot login {userName}@{ipAddress}"),
    ("CustomFieldValueChangedEvent", "Custom field value changed", "info", "Changed custom field {name} on {entity.name} to {value}"),
    ("DasAdmissionControlDisabledEvent", "vSphere HA admission control disabled", "info", "vSphere HA admission control disabled for cluster {computeResource.name} in {datacenter.name}"),
    ("DasHostFailedEvent", "vSphere HA host failed", "error", "A possible host failure of {failedHost.name} in cluster {computeResource.name} in {datacenter.name} was seen by vSphere HA"),
    ("DatacenterCreatedEvent", "Datacenter created", "info", "Created datacenter {datacenter.name} in folder {parent.name}"),
    ("DatastoreCapacityIncreasedEvent", "Datastore capacity increased", "info", "Datastore {datastore.name} grew from {oldCapacity} bytes to {newCapacity} bytes in {datacenter.name}"),
    ("DatastoreFileCopiedEvent", "File or directory copied to datastore", "info", "Copied {sourceFile} from {sourceDatastore.name} to {datastore.name} as {targetFile}"),
    ("DatastoreFileDeletedEvent", "File or directory deleted", "info", "Deleted {targetFile} from {datastore.name}"),
    ("DrsVmMigratedEvent", "DRS migrated a VM", "info", "DRS migrated {vm.name} from {sourceHost.name} to {host.name} in cluster {computeResource.name} in {datacenter.name}"),
    ("DrsVmPoweredOnEvent", "DRS powered on a VM", "info", "DRS powered on {vm.name} on {host.name} in {datacenter.name}"),
    ("EventEx", "Event", "info", "{message}"),
    ("ExtendedEvent", "Extended event", "info", "{message}"),
    ("GeneralHostErrorEvent", "Host error", "error", "Error on {host.name} in {datacenter.name}: {message}"),
    ("GeneralHostInfoEvent", "Host information", "info", "Issue on {host.name} in {datacenter.name}: {message}"),
    ("GeneralHostWarningEvent", "Host warning", "warning", "Warning on {host.name} in {datacenter.name}: {message}"),
    ("GeneralUserEvent", "User log entry", "user", "User logged event: {message}"),
    ("GeneralVmErrorEvent", "VM error", "error", "Error detected on {vm.name} on {host.name} in {datacenter.name}: {message}"),
    ("GeneralVmInfoEvent", "VM information", "info", "Issue detected on {vm.name} on {host.name} in {datacenter.name}: {message}"),
    ("GeneralVmWarningEvent", "VM warning", "warning", "Warning on {vm.name} on {host.name} in {datacenter.name}: {message}"),
    ("HostConnectedEvent", "Host connected", "info", "Connected to {host.name} in {datacenter.name}"),
    ("HostConnectionLostEvent", "Host connection lost", "error", "Host {host.name} in {datacenter.name} is not responding"),
    ("HostDisconnectedEvent", "Host disconnected", "info", "Disconnected from {host.name} in {datacenter.name}. Reason: {reason}"),
    ("HostReconnectionFailedEvent", "Cannot reconnect host", "error", "Cannot reconnect to {host.name} in {datacenter.name}"),
    ("HostShutdownEvent", "Host shut down", "info", "Shutdown of {host.name} in {datacenter.name}: {reason}"),
    ("PermissionAddedEvent", "Permission added", "info", "Permission created for {principal} on {entity.name}, role is {role.name}, propagation is {propagate}"),
    ("PermissionRemovedEvent", "Permission removed", "info", "Permission rule removed for {principal} on {entity.name}"),
    ("PermissionUpdatedEvent", "Permission updated", "info", "Permission changed for {principal} on {entity.name}, role is {role.name}, propagation is {propagate}"),
    ("ScheduledTaskCompletedEvent", "Scheduled task completed", "info", "Task {scheduledTask.name} on {entity.name} in {datacenter.name} completed successfully"),
    ("ScheduledTaskStartedEvent", "Scheduled task started", "info", "Running task {scheduledTask.name} on {entity.name} in {datacenter.name}"),
    ("SessionTerminatedEvent", "Session terminated", "info", "A session for user '{terminatedUsername}' has been terminated"),
    ("TaskEvent", "Task event", "info", "Task: {info.descriptionId}"),
    ("TaskTimeoutEvent", "Task timed out", "info", "Task: {info.descriptionId} time-out"),
    ("UserLoginSessionEvent", "User login", "info", "User {userName}@{ipAddress} logged in as {userAgent}"),
    ("UserLogoutSessionEvent", "User logout", "info", "User {userName}@{ipAddress} logged out (login time: {loginTime}, number of API invocations: {callCount}, user agent: {userAgent})"),
    ("UserPasswordChanged", "User password changed", "info", "Password was changed for account {userLogin} on host {host.name}"),
    ("VmAcquiredMksTicketEvent", "VM acquired MKS ticket", "info", "MKS ticket acquired for {vm.name} on {host.name} in {datacenter.name}"),
    ("VmBeingClonedEvent", "VM being cloned", "info", "Cloning {vm.name} on host {host.name} in {datacenter.name} to {destName} on host {destHost.name}"),
    ("VmBeingHotMigratedEvent", "VM is hot migrating", "info", "Migrating {vm.name} from {host.name} to {destHost.name} in {datacenter.name}"),
    ("VmBeingMigratedEvent", "VM migrating", "info", "Relocating {vm.name} from {host.name} to {destHost.name} in {datacenter.name}"),
    ("VmClonedEvent", "VM cloned", "info", "{sourceVm.name} cloned to {vm.name} on {host.name} in {datacenter.name}"),
    ("VmFailedToPowerOffEvent", "Cannot power off the VM", "error", "Cannot power off {vm.name} on {host.name} in {datacenter.name}. Reason: {reason.msg}"),
    ("VmFailedToPowerOnEvent", "Cannot power on the VM", "error", "Cannot power on {vm.name} on {host.name} in {datacenter.name}. Reason: {reason.msg}"),
    ("VmFailedToResetEvent", "VM cannot reset", "error", "Cannot reset {vm.name} on {host.name} in {datacenter.name}. Reason: {reason.msg}"),
    ("VmFailedToSuspendEvent", "VM cannot suspend", "error", "Cannot suspend {vm.name} on {host.name} in {datacenter.name}. Reason: {reason.msg}"),
    ("VmGuestRebootEvent", "Guest reboot", "info", "Guest OS reboot for {vm.name} on {host.name} in {datacenter.name}"),
    ("VmGuestShutdownEvent", "Guest OS shut down", "info", "Guest OS shut down for {vm.name} on {host.name} in {datacenter.name}"),
    ("VmMessageEvent", "VM information message", "info", "Message on {vm.name} on {host.name} in {datacenter.name}: {message}"),
    ("VmMigratedEvent", "VM migrated", "info", "Migration of {vm.name} from {sourceHost.name} to {host.name} in {datacenter.name} completed"),
    ("VmPoweredOffEvent", "VM powered off", "info", "{vm.name} on {host.name} in {datacenter.name} is powered off"),
    ("VmPoweredOnEvent", "VM powered on", "info", "{vm.name} on {host.name} in {datacenter.name} is powered on"),
    ("VmReconfiguredEvent", "VM reconfigured", "info", "Reconfigured {vm.name} on {host.name} in {datacenter.name}. Modified: {configChanges.modified}. Added: {configChanges.added}. Deleted: {configChanges.deleted}"),
    ("VmRemoteConsoleConnectedEvent", "VM remote console connected", "info", "Remote console connected to {vm.name} on {host.name}"),
    ("VmRemoteConsoleDisconnectedEvent", "VM remote console disconnected", "info", "Remote console disconnected from {vm.name} on {host.name}"),
    ("VmRemovedEvent", "VM removed", "info", "Removed {vm.name} on {host.name} from {datacenter.name}"),
    ("VmRenamedEvent", "VM renamed", "info", "Renamed {vm.name} from {oldName} to {newName} in {datacenter.name}"),
    ("VmResettingEvent", "VM resetting", "info", "{vm.name} on {host.name} in {datacenter.name} is reset"),
    ("VmResumingEvent", "VM resuming", "info", "{vm.name} on {host.name} in {datacenter.name} is resuming"),
    ("VmStartingEvent", "VM starting", "info", "{vm.name} on host {host.name} in {datacenter.name} is starting"),
    ("VmStoppingEvent", "VM stopping", "info", "{vm.name} on {host.name} in {datacenter.name} is stopping"),
    ("VmSuspendedEvent", "VM suspended", "info", "{vm.name} on {host.name} in {datacenter.name} is suspended"),
    ("VmSuspendingEvent", "VM being suspended", "info", "{vm.name} on {host.name} in {datacenter.name} is being suspended"),
];

/// What an argument of an `EventEx` holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    Text(&'static str),
    Int(i32),
    Long(i64),
    Double(&'static str),
    Bool(bool),
    Time(&'static str),
    Texts(&'static [&'static str]),
    /// The host that it is about.
    Host,
}

/// What an `EventEx` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Machine,
    Host,
    Cluster,
    Store,
}

/// A type id of `EventEx`: its severity, what it is about, its message, and its arguments.
#[derive(Debug)]
pub(super) struct TypeId {
    pub(super) id: &'static str,
    pub(super) severity: &'static str,
    pub(super) about: About,
    pub(super) format: &'static str,
    pub(super) arguments: &'static [(&'static str, Held)],
}

const fn ex(
    id: &'static str,
    severity: &'static str,
    about: About,
    format: &'static str,
    arguments: &'static [(&'static str, Held)],
) -> TypeId {
    TypeId { id, severity, about, format, arguments }
}

/// Those that a cluster tells of when a host is lost, in this order, and when it is back: the first of the table.
pub(super) const HOST_LOST: [usize; 3] = [0, 1, 2];
pub(super) const HOST_BACK: [usize; 2] = [3, 4];
/// A machine of a lost host is started elsewhere.
pub(super) const RESTARTED: usize = 5;
/// From here on they happen by themselves.
pub(super) const ANY: usize = 6;

#[rustfmt::skip]
pub(super) const TYPE_IDS: &[TypeId] = &[
    ex("com.vmware.vc.HA.HostStateChangedEvent", "info", About::Host,
        "The vSphere HA availability state of this host has changed to {newState}",
        &[("oldState", Held::Text("connectedToMaster")), ("newState", Held::Text("hostDown")), ("host", Held::Host)]),
    ex("com.vmware.vc.HA.DasHostFailedEvent", "error", About::Host,
        "vSphere HA detected a host failure of {host.name} in cluster {computeResource.name}", &[]),
    ex("com.vmware.vc.HA.ClusterFailoverActionInitiatedEvent", "warning", About::Cluster,
        "vSphere HA initiated a failover action in cluster {computeResource.name}, attempt {attempt}",
        &[("attempt", Held::Int(1)), ("isolated", Held::Bool(false))]),
    ex("com.vmware.vc.HA.ConnectedToMaster", "info", About::Host,
        "The vSphere HA agent on {host.name} is connected to the primary agent", &[]),
    ex("com.vmware.vc.HA.ClusterFailoverActionCompletedEvent", "info", About::Cluster,
        "vSphere HA completed a failover action in cluster {computeResource.name} after {seconds} s",
        &[("seconds", Held::Double("12.5")), ("since", Held::Time("2026-01-12T06:31:07.21714Z"))]),
    ex("com.vmware.vc.ha.VmRestartedByHAEvent", "warning", About::Machine,
        "{vm.name} was restarted on {host.name} by vSphere HA", &[]),
    ex("esx.problem.net.vmnic.linkstate.down", "warning", About::Host,
        "Physical NIC {1} linkstate is down", &[("1", Held::Text("vmnic2"))]),
    ex("esx.clear.net.vmnic.linkstate.up", "info", About::Host,
        "Physical NIC {1} linkstate is up", &[("1", Held::Text("vmnic2"))]),
    ex("esx.problem.net.redundancy.degraded", "warning", About::Host,
        "Uplink redundancy degraded on {1}; port groups affected: {2}",
        &[("1", Held::Text("DvsPortset-0")), ("2", Held::Texts(&["PG-Prod-110", "PG-DMZ & Gäste"]))]),
    ex("esx.problem.scsi.device.io.latency.high", "warning", About::Host,
        "Device {1} performance has deteriorated: {2} to {3} microseconds",
        &[("1", Held::Text("naa.60060160a1b2")), ("2", Held::Long(1_203)), ("3", Held::Long(74_819))]),
    ex("esx.audit.ssh.session.opened", "info", About::Host,
        "SSH session was opened for '{1}'", &[("1", Held::Text("root@10.20.4.77"))]),
    ex("esx.audit.ssh.session.closed", "info", About::Host,
        "SSH session was closed for '{1}'", &[("1", Held::Text("root@10.20.4.77"))]),
    ex("com.vmware.vc.vm.DstVmMigratedEvent", "info", About::Machine,
        "Virtual machine {vm.name} {newMoRef} in {computeResource.name} was migrated from {oldMoRef}",
        &[("oldMoRef", Held::Text("vm-77")), ("newMoRef", Held::Text("vm-78"))]),
    ex("com.vmware.vc.vmam.VmAppHealthStateChangedEvent", "info", About::Machine,
        "vSphere HA detected that the application heartbeat status changed to {status} for {vm.name}",
        &[("status", Held::Text("appStatusGreen"))]),
    ex("com.vmware.vc.guestOperations.GuestOperation", "info", About::Machine,
        "Guest operation {operationName} performed on virtual machine {vm.name}",
        &[("operationName", Held::Text("Start Program")), ("interactive", Held::Bool(false))]),
    ex("com.vmware.vc.VmDiskConsolidationNeeded", "warning", About::Machine,
        "Virtual machine {vm.name} disks consolidation is needed on {host.name}", &[]),
    ex("com.vmware.vc.datastore.UpdatedVmFilesEvent", "info", About::Store,
        "Updated VM files on datastore {ds.name} using host {hostName}", &[("hostName", Held::Text("esx-fra-01"))]),
    ex("esx.problem.vmfs.heartbeat.timedout", "info", About::Store,
        "Lost access to volume {1} ({2}) due to connectivity issues",
        &[("1", Held::Text("63610003-1f2e0015")), ("2", Held::Text("vmfs-prod <a>"))]),
    ex("com.vmware.vc.VCHealthStateChangedEvent", "info", About::Cluster,
        "vCenter service overall health changed from '{oldState}' to '{newState}'",
        &[("oldState", Held::Text("green")), ("newState", Held::Text("yellow"))]),
    ex("com.vmware.vc.vsan.HealthCheckFailed", "error", About::Cluster,
        "vSAN health test '{test}' of {computeResource.name} failed: {reasons}",
        &[("test", Held::Text("時刻同期")), ("reasons", Held::Texts(&["skew > 60 s", "no NTP & no PTP"]))]),
];

/// A type id of `ExtendedEvent`: what it says, and the data that goes with it.
pub(super) type Extended = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Those that extensions post.
pub(super) const EXTENDED: &[Extended] = &[
    (
        "com.example.backup.JobFinished",
        "Backup job {data.job} of {managedObject} finished: {data.result}",
        &[("job", "nightly <full>"), ("result", "ok"), ("bytes", "73014444032")],
    ),
    (
        "com.example.backup.JobFailed",
        "Backup job {data.job} of {managedObject} failed: {data.result}",
        &[("job", "nightly <full>"), ("result", "Netzwerkpfad nicht gefunden & abgebrochen")],
    ),
    (
        "com.example.cmdb.Synchronised",
        "{data.count} attributes of {managedObject} were synchronised",
        &[("count", "14")],
    ),
];
