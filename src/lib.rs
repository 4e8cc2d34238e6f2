//! The VMware Event Router: reads every event of VMware vCenter Servers and
//! delivers each as a CloudEvent to functions and buses.

pub mod vim25;
