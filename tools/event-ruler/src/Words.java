import java.util.List;

/** Names that vCenter events are made of. */
final class Words {
    static final List<String> VSPHERE = List.of(
            "VmPoweredOnEvent", "VmPoweredOffEvent", "VmReconfiguredEvent", "VmCreatedEvent", "VmRemovedEvent",
            "VmEmigratingEvent", "DrsVmPoweredOnEvent", "UserLoginSessionEvent", "UserLogoutSessionEvent",
            "AlarmStatusChangedEvent", "EnteredMaintenanceModeEvent", "EventEx", "ExtendedEvent",
            "com.vmware.vc.ha.VmRestartedByHAEvent", "esx.audit.dcui.enabled", "vm-web-01", "vm-web-02", "VM-WEB-01",
            "vm-db-01", "DC0_H0_VM0", "DC0_H0_VM1", "DC0_C0_RP0_VM0", "DC0_H0", "DC0", "DC1", "LocalDS_0",
            "esx-01.corp.local", "esx-02.corp.local", "vcenter.corp.local", "administrator@vsphere.local", "root",
            "VSPHERE.LOCAL\\Administrator", "VSPHERE.LOCAL\\vpxd-extension", "green", "yellow", "red", "poweredOn",
            "poweredOff", "VirtualMachine", "vm-42", "host-21", "Virtual machine is powered on", "*", "a*b", "");

    private Words() {}
}
