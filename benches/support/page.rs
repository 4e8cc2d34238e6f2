//! A page that might have been captured, for `simulate --replay`: a thousand events of as many subjects, each about
//! another machine.

const PAGE: usize = 1000;

fn subject(at: usize) -> String {
    format!("com.example.load.kind{at:03}")
}

/// The page, as `ReadNextEvents` answers.
pub fn page() -> String {
    let mut page = r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><ReadNextEventsResponse xmlns="urn:vim25">"#.to_owned();
    for at in 0..PAGE {
        let (key, subject) = (at + 1, subject(at));
        page.push_str(&format!(
            r#"<returnval xsi:type="EventEx"><key>{key}</key><chainId>{key}</chainId><createdTime>2026-11-22T10:57:17.980199Z</createdTime><userName>VSPHERE.LOCAL\Administrator</userName><datacenter><name>Datacenter</name><datacenter type="Datacenter">datacenter-2</datacenter></datacenter><computeResource><name>Cluster-1</name><computeResource type="ClusterComputeResource">domain-c8</computeResource></computeResource><host><name>esx-01.example.com</name><host type="HostSystem">host-21</host></host><vm><name>machine-{at}</name><vm type="VirtualMachine">vm-{at}</vm></vm><fullFormattedMessage>The state of machine-{at} on esx-01.example.com in Datacenter has changed from green to yellow</fullFormattedMessage><eventTypeId>{subject}</eventTypeId><severity>info</severity><message>The state has changed</message><arguments><key>from</key><value xsi:type="xsd:string">green</value></arguments><arguments><key>to</key><value xsi:type="xsd:string">yellow</value></arguments><objectId>vm-{at}</objectId><objectType>VirtualMachine</objectType><objectName>machine-{at}</objectName></returnval>"#
        ));
    }
    page.push_str("</ReadNextEventsResponse></soapenv:Body></soapenv:Envelope>");
    page
}
