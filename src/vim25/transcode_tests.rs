#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::json;
use super::*;

const XSI: &str = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";

/// A response with these events' elements.
fn page(events: &str) -> String {
    format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" {XSI}>\n<soapenv:Body>\
         <ReadNextEventsResponse xmlns=\"urn:vim25\">{events}</ReadNextEventsResponse></soapenv:Body></soapenv:Envelope>"
    )
}

/// An owned copy of what the decoder gave.
#[derive(Debug, Clone)]
struct Got {
    class: String,
    kind: EventKind,
    subject: String,
    key: Option<i32>,
    created: Option<(String, i64)>,
    entity: Option<String>,
    data: String,
    error: Option<String>,
    raw: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|e| panic!("{e}: {}", self.data))
    }
}

fn shape(name: &str) -> Shape {
    name.parse().unwrap()
}

fn read(shape: Shape, page: &[u8]) -> (Vec<Got>, Result<PageSummary, PageError>) {
    let mut all = Vec::new();
    let result = Decoder::new(shape).page(page, |e| {
        all.push(Got {
            class: e.class.to_owned(),
            kind: e.kind,
            subject: e.subject.to_owned(),
            key: e.key,
            created: e.created.map(|c| (c.text.to_owned(), c.micros)),
            entity: e.entity.map(str::to_owned),
            data: String::from_utf8(e.data.to_vec()).unwrap(),
            error: e.error.map(str::to_owned),
            raw: String::from_utf8(e.raw.to_vec()).unwrap(),
        });
    });
    (all, result)
}

/// The one event of a class with these elements.
fn one(name: &str, class: &str, elements: &str) -> Got {
    let page = page(&format!("<returnval xsi:type=\"{class}\">{elements}</returnval>"));
    let (mut all, result) = read(shape(name), page.as_bytes());
    result.unwrap_or_else(|e| panic!("{e}: {page}"));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The data of one event, which must be whole.
fn data(name: &str, class: &str, elements: &str) -> String {
    let got = one(name, class, elements);
    assert_eq!(got.error, None);
    got.data
}

/// `EventEx` without what is its base's and absent.
fn ex(name: &str, elements: &str) -> Value {
    let mut data = serde_json::from_str::<Value>(&data(name, "EventEx", elements)).unwrap();
    let zero = serde_json::from_str::<Value>(&self::data(name, "EventEx", "")).unwrap();
    data.as_object_mut().unwrap().retain(|k, v| zero.get(k) != Some(v));
    data
}

const EVENT: &str = "\"Key\":0,\"ChainId\":0,\"CreatedTime\":\"0001-01-01T00:00:00Z\",\"UserName\":\"\",\
     \"Datacenter\":null,\"ComputeResource\":null,\"Host\":null,\"Vm\":null,\"Ds\":null,\"Net\":null,\"Dvs\":null,\
     \"FullFormattedMessage\":\"\",\"ChangeTag\":\"\"";

#[test]
fn absent_elements_are_null_or_zero_by_govmomis_struct() {
    assert_eq!(data("6.7", "VmPoweredOnEvent", ""), format!("{{{EVENT},\"Template\":false}}"));
    let reference = "{\"Type\":\"\",\"Value\":\"\"}";
    let entity = format!("{{\"Name\":\"\",\"Entity\":{reference}}}");
    // Required structs are their zero value, down to their own; polymorphic ones are null, required or not.
    let alarm = format!("{{\"Name\":\"\",\"Alarm\":{reference}}}");
    let expected =
        format!("{{{EVENT},\"Alarm\":{alarm},\"Source\":{entity},\"Entity\":{entity},\"From\":\"\",\"To\":\"\"}}");
    assert_eq!(data("6.7", "AlarmStatusChangedEvent", ""), expected);
    assert!(data("6.7", "VmReconfiguredEvent", "").contains("\"ConfigSpec\":{\"ChangeVersion\":\"\","));
    let got = ex("6.7", "<fault><fault xsi:type=\"ReplicationVmFault\"/></fault>");
    assert_eq!(got["Fault"]["Fault"]["Vm"], Value::Null);
    let got = ex("7.0", "<fault><fault xsi:type=\"ReplicationVmFault\"/></fault>");
    assert_eq!(got["Fault"]["Fault"]["Vm"], json!({"Type": "", "Value": ""}));
}

#[test]
fn an_empty_element_is_there_and_zero() {
    let expected = json!({"Name": "", "Vm": {"Type": "", "Value": ""}});
    assert_eq!(ex("6.7", "<vm/>")["Vm"], expected);
    assert_eq!(ex("6.7", "<vm xsi:nil=\"true\"/>")["Vm"], expected);
    assert_eq!(ex("6.7", "<vm></vm>")["Vm"], expected);
    assert_eq!(data("6.7", "Event", "<key/><chainId></chainId>"), format!("{{{EVENT}}}"));
}

#[test]
fn references_take_their_type_from_the_plain_attribute() {
    let vm = |element: &str| ex("6.7", &format!("<vm>{element}</vm>"))["Vm"]["Vm"].clone();
    assert_eq!(vm("<vm type=\"VirtualMachine\">vm-1</vm>"), json!({"Type": "VirtualMachine", "Value": "vm-1"}));
    assert_eq!(vm("<vm xsi:type=\"ManagedObjectReference\" type='V'>vm-1</vm>"), json!({"Type": "V", "Value": "vm-1"}));
    assert_eq!(vm("<vm type=\"a&amp;b\">x&lt;</vm>"), json!({"Type": "a&b", "Value": "x<"}));
    let guid = "<vm type=\"VirtualMachine\" serverGuid=\"g\">vm-1</vm>";
    assert_eq!(vm(guid), json!({"Type": "VirtualMachine", "Value": "vm-1"}));
    let kept = ex("8.0", &format!("<vm>{guid}</vm>"))["Vm"]["Vm"].clone();
    assert_eq!(kept, json!({"Type": "VirtualMachine", "Value": "vm-1", "ServerGuid": "g"}));
}

#[test]
fn arrays_are_arrays_wherever_their_elements_are() {
    let pair = |k: &str| format!("<arguments><key>{k}</key></arguments>");
    let expected = json!([{"Key": "a", "Value": null}, {"Key": "b", "Value": null}]);
    assert_eq!(ex("6.7", &(pair("a") + &pair("b")))["Arguments"], expected);
    let apart = format!("{}<severity>s</severity>{}", pair("a"), pair("b"));
    assert_eq!(ex("6.7", &apart), json!({"Severity": "s", "Arguments": expected}));
}

#[test]
fn polymorphic_fields_go_by_their_type() {
    let fault = |of: &str, fields: &str| {
        ex("6.7", &format!("<fault><fault{of}>{fields}</fault></fault>"))["Fault"]["Fault"].clone()
    };
    let base = json!({"FaultCause": null, "FaultMessage": null});
    assert_eq!(fault("", "<reason>x</reason>"), base);
    assert_eq!(fault(" xsi:type=\"MethodFault\"", ""), base);
    let system = json!({"FaultCause": null, "FaultMessage": null, "Reason": "x"});
    assert_eq!(fault(" xsi:type=\"SystemError\"", "<reason>x</reason>"), system);
    assert_eq!(fault(" xsi:type=\"vim25:SystemError\"", "<reason>x</reason>"), system);
    assert_eq!(fault(" xsi:type=\"ns1:SystemError\"", "<reason>x</reason>"), Value::Null);
    assert_eq!(fault(" xsi:type=\"NewFault\"", "<reason>x</reason>"), Value::Null);
    // A field whose type has no other types under it ignores what the element says.
    let vm = ex("6.7", "<vm xsi:type=\"NewArgument\"><name>x</name></vm>")["Vm"].clone();
    assert_eq!(vm["Name"], "x");
}

#[test]
fn anything_goes_by_its_type() {
    let value = |of: &str, text: &str| {
        let elements = format!("<arguments><key/><value xsi:type=\"{of}\">{text}</value></arguments>");
        let data = data("6.7", "EventEx", &elements);
        let (_, rest) = data.split_once("\"Key\":\"\",\"Value\":").unwrap();
        rest.split_once("}],\"ObjectId\"").unwrap().0.to_owned()
    };
    for (of, text, expected) in [
        ("xsd:string", "a", "\"a\""),
        ("xsd:boolean", "1", "true"),
        ("xsd:byte", "-2", "-2"),
        ("xsd:short", "-3", "-3"),
        ("xsd:int", "2147483647", "2147483647"),
        ("xsd:long", "9223372036854775807", "9223372036854775807"),
        ("xsd:unsignedByte", "255", "255"),
        ("xsd:unsignedLong", "18446744073709551615", "18446744073709551615"),
        ("xsd:float", "0.1", "0.1"),
        ("xsd:double", "1e21", "1e+21"),
        ("xsd:dateTime", "2026-01-02T03:04:05.60Z", "\"2026-01-02T03:04:05.6Z\""),
        ("xsd:base64Binary", "AQID", "\"QVFJRA==\""),
        ("xsd:anyURI", "x", "null"),
        ("xsd:QName", "x", "null"),
        ("xs:int", "1", "null"),
        ("Nonsense", "x", "null"),
        ("VirtualMachinePowerState", "poweredOn", "\"poweredOn\""),
        ("ArrayOfString", "<string>a</string><string>b</string>", "{\"String\":[\"a\",\"b\"]}"),
        ("ArrayOfString", "", "{\"String\":null}"),
        ("ArrayOfInt", "<int>1</int>", "{\"Int\":[1]}"),
        ("ArrayOfByte", "<byte>1</byte><byte>-2</byte>", "{\"Byte\":\"LTI=\"}"),
        ("ArrayOfAnyType", "<anyType xsi:type=\"xsd:int\">1</anyType><anyType/>", "{\"AnyType\":[1,null]}"),
        ("ArrayOfKeyValue", "<KeyValue><key>k</key></KeyValue>", "{\"KeyValue\":[{\"Key\":\"k\",\"Value\":\"\"}]}"),
        ("ArrayOfNonsense", "<Nonsense/>", "null"),
        ("KeyValue", "<key>k</key><value>v</value>", "{\"Key\":\"k\",\"Value\":\"v\"}"),
    ] {
        assert_eq!(value(of, text), expected, "{of} {text}");
    }
    let reference = "<arguments><value xsi:type=\"ManagedObjectReference\" type=\"T\">v</value></arguments>";
    assert_eq!(ex("6.7", reference)["Arguments"][0]["Value"], json!({"Type": "T", "Value": "v"}));
    assert_eq!(ex("6.7", "<arguments><value>v</value></arguments>")["Arguments"][0]["Value"], Value::Null);
}

#[test]
fn text_is_escaped_and_not_trimmed() {
    let message = |text: &str| {
        let data = data("6.7", "Event", &format!("<fullFormattedMessage>{text}</fullFormattedMessage>"));
        data.split_once("\"FullFormattedMessage\":").unwrap().1.split_once(",\"ChangeTag\"").unwrap().0.to_owned()
    };
    assert_eq!(message(" a\n"), "\" a\\n\"");
    assert_eq!(message("&lt;b&gt;&amp;\"'/"), "\"\\u003cb\\u003e\\u0026\\\"'/\"");
    assert_eq!(message("a > b"), "\"a \\u003e b\"");
    assert_eq!(message("1\r\n2\r3&#13;4"), "\"1\\n2\\n3\\r4\"");
    assert_eq!(message("\u{2028}\u{2029}\u{2030}é"), "\"\\u2028\\u2029\u{2030}é\"");
    assert_eq!(message("&#x2028;&#9;&#65;"), "\"\\u2028\\tA\"");
    assert_eq!(message("a<![CDATA[<b>]]>c<!-- no -->d<x>no</x>e"), "\"a\\u003cb\\u003ecde\"");
}

#[test]
fn binary_fields_are_taken_for_their_text() {
    let spec = |fields: &str| {
        let sub = format!("<hostSubSpec>{fields}</hostSubSpec>");
        let value = format!(
            "<arguments><value xsi:type=\"HostSpecification\">{}</value></arguments>",
            sub.replace("hostSubSpec", "subSpecs")
        );
        ex("6.7", &value)["Arguments"][0]["Value"]["SubSpecs"][0].clone()
    };
    assert_eq!(spec("<binaryData>AQID</binaryData>")["BinaryData"], "QVFJRA==");
    assert_eq!(spec("<data>1</data><data>-2</data>")["Data"], "LTI=");
    assert_eq!(spec("")["Data"], Value::Null);
    let newer = "<arguments><value xsi:type=\"HostSubSpecification\"><data>1</data><data>-2</data><binaryData>AQID</binaryData></value></arguments>\
                 <arguments><value xsi:type=\"xsd:base64Binary\">AQID</value></arguments>";
    let got = ex("8.0", newer)["Arguments"].clone();
    assert_eq!((&got[0]["Value"]["Data"], &got[0]["Value"]["BinaryData"]), (&json!("Af4="), &json!("AQID")));
    assert_eq!(got[1]["Value"], "AQID");
}

#[test]
fn order_and_repetition_are_as_in_govmomi() {
    let straight = data("6.7", "Event", "<key>1</key><chainId>2</chainId><userName>u</userName>");
    assert_eq!(data("6.7", "Event", "<userName>u</userName><chainId>2</chainId><key>1</key>"), straight);
    assert_eq!(data("6.7", "Event", "<key>9</key><chainId>2</chainId><userName>u</userName><key>1</key>"), straight);
    // A repeated struct is one struct, a repeated number the last one.
    let vm = "<vm><name>a</name></vm><vm><vm type=\"V\">1</vm></vm><vm><name>b</name></vm>";
    assert_eq!(ex("6.7", vm)["Vm"], json!({"Name": "b", "Vm": {"Type": "V", "Value": "1"}}));
    // Of a polymorphic one, the first piece says the type.
    let fault = "<fault><fault xsi:type=\"NoSuchFault\"/><fault xsi:type=\"SystemError\"/><fault><reason>r</reason></fault></fault>";
    assert_eq!(ex("6.7", fault)["Fault"]["Fault"]["Reason"], "r");
    // What holds anything keeps its first value.
    let any =
        "<arguments><value/><value xsi:type=\"xsd:int\">1</value><value xsi:type=\"xsd:int\">2</value></arguments>";
    assert_eq!(ex("6.7", any)["Arguments"][0]["Value"], 1);
}

#[test]
fn unknown_elements_vanish_in_6_7_and_are_kept_in_newer_shapes() {
    let elements = "<key>1</key><newThing>x</newThing><vm><name>n</name><newer>1</newer></vm><newThing>y</newThing>\
                    <count xsi:type=\"xsd:int\">5</count><deep><a>1</a><b><c/></b><a>2</a></deep><ref type=\"T\">r</ref><nil xsi:nil=\"true\"/>";
    let old = one("6.7", "Event", elements);
    assert_eq!(old.error, None);
    assert!(!old.data.contains("ew"), "{}", old.data);
    let new = data("7.0", "Event", elements);
    assert!(
        new.ends_with(
            ",\"ChangeTag\":\"\",\"NewThing\":[\"x\",\"y\"],\"Count\":5,\"Deep\":{\"A\":[\"1\",\"2\"],\"B\":{\"C\":\"\"}},\
             \"Ref\":{\"Type\":\"T\",\"Value\":\"r\"},\"Nil\":null}"
        ),
        "{new}"
    );
    assert!(new.contains("\"Vm\":{\"Name\":\"n\",\"Vm\":{\"Type\":\"\",\"Value\":\"\"},\"Newer\":\"1\"}"), "{new}");
}

#[test]
fn unknown_nested_types_are_kept_in_newer_shapes() {
    let fault =
        "<fault><fault xsi:type=\"NewFault\"><faultMessage><key>k</key></faultMessage><why>w</why></fault></fault>";
    let got = ex("7.0", fault)["Fault"]["Fault"].clone();
    assert_eq!(got["FaultMessage"][0]["Key"], "k");
    assert_eq!(got["Why"], "w");
    let any =
        "<arguments><value xsi:type=\"NewType\"><x>1</x></value></arguments><arguments><value>s</value></arguments>";
    let got = ex("7.0", any)["Arguments"].clone();
    assert_eq!(got, json!([{"Key": "", "Value": {"X": "1"}}, {"Key": "", "Value": "s"}]));
    // What a later version brought is unknown to an earlier shape.
    let later = "<fault><fault xsi:type=\"InvalidToken\"/></fault>";
    assert_eq!(ex("6.7", later)["Fault"]["Fault"], Value::Null);
}

#[test]
fn no_member_comes_twice() {
    let got = data("7.0", "Event", "<Key>x</Key><decodeError>y</decodeError>");
    assert!(got.ends_with("\"Key_\":\"x\",\"DecodeError_\":\"y\"}"), "{got}");
}

#[test]
fn an_unknown_event_class_is_kept_in_every_shape() {
    let elements = "<key>7</key><createdTime>2026-01-02T03:04:05Z</createdTime><vm><name>n</name><vm type=\"VirtualMachine\">vm-7</vm></vm>\
                    <newField>x</newField><size xsi:type=\"xsd:long\">5</size><part><a>1</a></part><part><a>2</a></part>";
    for shape in ["6.7", "7.0", "latest"] {
        let got = one(shape, "BrandNewEvent", elements);
        assert_eq!(
            (got.error.clone(), &*got.class, &*got.subject, got.key),
            (None, "BrandNewEvent", "BrandNewEvent", Some(7))
        );
        assert_eq!(got.kind, EventKind::Event);
        assert_eq!(got.entity.as_deref(), Some("VirtualMachine:vm-7"));
        assert_eq!(got.created, Some(("2026-01-02T03:04:05Z".into(), 1_767_323_045_000_000)));
        assert!(got.data.starts_with("{\"Key\":7,\"ChainId\":0,"), "{}", got.data);
        assert!(
            got.data.ends_with("\"NewField\":\"x\",\"Size\":5,\"Part\":[{\"A\":\"1\"},{\"A\":\"2\"}]}"),
            "{}",
            got.data
        );
    }
}

#[test]
fn an_event_that_cannot_be_decoded_keeps_what_can_be_read() {
    let good = "<returnval xsi:type=\"VmPoweredOnEvent\"><key>1</key></returnval>";
    let bad = "<returnval xsi:type=\"EventEx\"><key>2147483648</key><createdTime>yesterday</createdTime><userName>u</userName>\
               <vm><name>n</name><vm type=\"VirtualMachine\">vm-1</vm></vm><eventTypeId>com.x</eventTypeId></returnval>";
    let text = page(&format!("{good}{bad}{good}"));
    let (all, result) = read(Shape::V6_7, text.as_bytes());
    assert_eq!(result.unwrap().events, 3);
    assert_eq!((&all[0].error, &all[2].error), (&None, &None));
    let got = &all[1];
    let offset = text.find("<key>2147483648").unwrap();
    let expected =
        format!("key: \"2147483648\" is an integer out of its type's range (at byte {offset} of the response)");
    assert_eq!(got.error.as_ref(), Some(&expected));
    assert_eq!((got.key, &got.created, &*got.subject), (None, &None, "com.x"));
    assert_eq!(got.entity.as_deref(), Some("VirtualMachine:vm-1"));
    assert_eq!((&*got.raw, got.kind), (bad, EventKind::EventEx));
    let json = got.json();
    assert_eq!((&json["DecodeError"], &json["RawXml"]), (&json!(expected), &json!(bad)));
    assert_eq!((&json["UserName"], json.get("Key"), json.get("CreatedTime")), (&json!("u"), None, None));
    assert!(got.data.starts_with("{\"ChainId\":0,\"UserName\":\"u\","), "{}", got.data);
}

#[test]
fn a_known_type_that_does_not_fit_is_a_decode_error() {
    for of in ["VmPoweredOnEvent", "xsd:string", "ArrayOfString", "VirtualMachinePowerState", "ManagedObjectReference"]
    {
        let got = one("6.7", "EventEx", &format!("<message>m</message><fault><fault xsi:type=\"{of}\"/></fault>"));
        let error = got.error.clone().unwrap();
        assert!(
            error.starts_with(&format!("fault.fault: a {of} where a MethodFault is expected (at byte ")),
            "{error}"
        );
        assert_eq!((&got.json()["Message"], got.json()["Fault"].get("Fault")), (&json!("m"), None));
    }
}

#[test]
fn what_is_no_event_is_a_decode_error() {
    let got = one("6.7", "KeyValue", "<key>k</key><value>v</value>");
    assert_eq!((got.error.as_deref(), &*got.subject), (Some("KeyValue is not an event"), "KeyValue"));
    assert_eq!((&got.json()["Key"], &got.json()["Value"]), (&json!("k"), &json!("v")));
    for of in ["xsd:string", "ArrayOfString", "VirtualMachinePowerState"] {
        let got = one("7.0", of, "x");
        assert_eq!(got.error, Some(format!("{of} is not an event")));
        assert_eq!(
            got.data,
            format!("{{\"DecodeError\":\"{of} is not an event\",\"RawXml\":{}}}", {
                let mut raw = Vec::new();
                json::string(&mut raw, &got.raw);
                String::from_utf8(raw).unwrap()
            })
        );
    }
}

#[test]
fn without_a_class_it_is_an_event() {
    let (all, _) = read(Shape::V6_7, page("<returnval><key>3</key></returnval>").as_bytes());
    assert_eq!((&*all[0].class, &*all[0].subject, all[0].key), ("", "Event", Some(3)));
    let got = one("6.7", "vim25:VmPoweredOnEvent", "");
    assert_eq!((&*got.class, &*got.subject), ("vim25:VmPoweredOnEvent", "VmPoweredOnEvent"));
}

#[test]
fn kinds_and_subjects() {
    let id = "<eventTypeId>com.vmware.x&amp;y</eventTypeId>";
    let ex = one("6.7", "EventEx", id);
    assert_eq!((ex.kind, &*ex.subject, ex.kind.suffix()), (EventKind::EventEx, "com.vmware.x&y", "eventex"));
    let extended = one("6.7", "ExtendedEvent", id);
    assert_eq!(
        (extended.kind, &*extended.subject, extended.kind.suffix()),
        (EventKind::ExtendedEvent, "com.vmware.x&y", "extendedevent")
    );
    assert_eq!(&*one("6.7", "EventEx", "").subject, "EventEx");
    let plain = one("6.7", "VmPoweredOnEvent", "");
    assert_eq!((plain.kind, &*plain.subject, plain.kind.suffix()), (EventKind::Event, "VmPoweredOnEvent", "event"));
    // A class of its own has its own subject, although it derives from one of these.
    let known: Vec<_> = ["HealthStatusChangedEvent", "GeneralUserEvent"].map(|c| one("6.7", c, id).kind).into();
    assert_eq!(known, [EventKind::Event, EventKind::Event]);
}

#[test]
fn the_entity_is_the_vm_else_the_next_in_line() {
    let part = |outer: &str, of: &str, inner: &str| {
        format!("<{outer}><name>n</name><{inner} type=\"{of}\">{inner}-1</{inner}></{outer}>")
    };
    let datacenter = part("datacenter", "Datacenter", "datacenter");
    let cluster = part("computeResource", "ClusterComputeResource", "computeResource");
    let host = part("host", "HostSystem", "host");
    let vm = part("vm", "VirtualMachine", "vm");
    let (ds, net) = (part("ds", "Datastore", "datastore"), part("net", "Network", "network"));
    let entity =
        |elements: &[&String]| one("6.7", "Event", &elements.iter().map(|e| e.as_str()).collect::<String>()).entity;
    assert_eq!(entity(&[]), None);
    assert_eq!(entity(&[&datacenter]).as_deref(), Some("Datacenter:datacenter-1"));
    assert_eq!(entity(&[&datacenter, &net]).as_deref(), Some("Network:network-1"));
    assert_eq!(entity(&[&datacenter, &ds, &net]).as_deref(), Some("Datastore:datastore-1"));
    assert_eq!(entity(&[&datacenter, &cluster, &ds]).as_deref(), Some("ClusterComputeResource:computeResource-1"));
    assert_eq!(entity(&[&datacenter, &cluster, &host]).as_deref(), Some("HostSystem:host-1"));
    assert_eq!(entity(&[&datacenter, &cluster, &host, &vm]).as_deref(), Some("VirtualMachine:vm-1"));
    // Out of order, which is the careful way.
    assert_eq!(entity(&[&vm, &host, &datacenter]).as_deref(), Some("VirtualMachine:vm-1"));
    // References elsewhere in the event are not the entity.
    let source = part("sourceVm", "VirtualMachine", "vm");
    assert_eq!(one("6.7", "VmClonedEvent", &format!("{host}{source}")).entity.as_deref(), Some("HostSystem:host-1"));
}

#[test]
fn both_ways_tell_the_same_of_an_event() {
    let head = "<key>-5</key><chainId>1</chainId>";
    let tail = "<createdTime>2026-11-22T12:57:17.5+02:00</createdTime><eventTypeId>a.b</eventTypeId>";
    let straight = one("6.7", "EventEx", &format!("{head}{tail}"));
    let careful = one("6.7", "EventEx", &format!("{tail}{head}"));
    assert_eq!(straight.data, careful.data);
    for got in [straight, careful] {
        assert_eq!(
            (got.key, got.created, &*got.subject),
            (Some(-5), Some(("2026-11-22T12:57:17.5+02:00".into(), 1_795_345_037_500_000)), "a.b")
        );
    }
}

#[test]
fn deep_nesting_is_the_events_own_problem() {
    let deep = |levels: usize| {
        let open = "<faultCause><fault xsi:type=\"SystemError\">".repeat(levels);
        let close = "</fault></faultCause>".repeat(levels);
        format!(
            "<message>m</message><fault><fault xsi:type=\"SystemError\">{open}<reason>r</reason>{close}</fault></fault>"
        )
    };
    assert_eq!(one("6.7", "EventEx", &deep(60)).error, None);
    for shape in ["6.7", "latest"] {
        let got = one(shape, "EventEx", &deep(1000));
        assert!(got.error.unwrap().contains("no object beyond 128 levels"));
        let untyped = format!("{}{}", "<x>".repeat(2000), "</x>".repeat(2000));
        let got = one(shape, "BrandNewEvent", &untyped);
        assert!(got.error.unwrap().contains("nothing beyond 128 levels"));
    }
    // Elements that vanish may nest as they like.
    assert_eq!(one("6.7", "Event", &format!("{}{}", "<x>".repeat(2000), "</x>".repeat(2000))).error, None);
}

#[test]
fn events_before_a_broken_one_are_given() {
    let good = "<returnval xsi:type=\"VmPoweredOnEvent\"><key>1</key></returnval>";
    for broken in [
        "<returnval><key>1</kay></returnval>",
        "<returnval><userName>a & b</userName></returnval>",
        "<returnval><userName>\u{1}</userName></returnval>",
        "<returnval><vm></returnval>",
        "<returnval><userName>]]></userName></returnval>",
        "<returnval/><",
    ] {
        let text = page(&format!("{good}{good}{broken}"));
        let (all, result) = read(Shape::V6_7, text.as_bytes());
        assert!(all.len() >= 2, "{broken}");
        let Err(PageError::NotWellFormed(error)) = result else { panic!("{broken}: {result:?}") };
        assert!(error.offset >= text.find(broken).unwrap() && error.offset <= text.len(), "{error}");
    }
    let mut bytes = page(&format!("{good}<returnval><userName>x</userName></returnval>")).into_bytes();
    let at = bytes.windows(3).rposition(|w| w == b">x<").unwrap() + 1;
    bytes[at] = 0xff;
    let (all, result) = read(Shape::V6_7, &bytes);
    assert_eq!(all.len(), 1);
    assert_eq!(result.unwrap_err().to_string(), format!("not well-formed XML at byte {at}: invalid UTF-8"));
}

#[test]
fn what_is_no_response_says_so() {
    let error = |text: &str| read(Shape::V6_7, text.as_bytes()).1.unwrap_err().to_string();
    assert_eq!(error("<html><body>503</body></html>"), "the page is no SOAP response: it is a <html>, not an Envelope");
    assert_eq!(error("<Envelope><Header/></Envelope>"), "the page is no SOAP response: its Envelope has no Body");
    assert_eq!(error("<Envelope><Body/></Envelope>"), "the page is no SOAP response: its Body is empty");
    assert_eq!(error("<Envelope><Body><x/></Body></Envelope>"), "the page is no SOAP response: its Body holds <x>");
    assert_eq!(error("no healthy upstream"), "not well-formed XML at byte 0: text outside the root element");
}

#[test]
fn every_plan_of_every_shape_can_be_made() {
    // A struct that held itself by value would never end.
    for shape in Shape::all() {
        let plans = Plans::new(shape);
        for of in 0..super::super::schema::TYPE_COUNT as u16 {
            let plan = plans.get(of);
            let names: std::collections::HashSet<_> = plan.steps.iter().map(|s| s.name).collect();
            assert_eq!(names.len(), plan.steps.len(), "a name comes twice");
        }
    }
}

/// A page of every captured event, to be damaged.
fn captured() -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vcsim");
    let mut events = String::new();
    for name in ["EventEx", "VmReconfiguredEvent", "TaskEvent", "VmMigratedEvent", "VmFailedToPowerOnEvent"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.xml"))).unwrap();
        let (start, end) = (text.find("<returnval").unwrap(), text.rfind("</ReadNext").unwrap());
        events.push_str(&text[start..end]);
    }
    page(&events)
}

/// Whatever the decoder gives is JSON.
fn sane(shape: Shape, bytes: &[u8]) {
    for got in read(shape, bytes).0 {
        got.json();
        assert_eq!(got.error.is_some(), got.json().get("DecodeError").is_some(), "{}", got.data);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        sane(Shape::V6_7, &bytes);
        let inside = page(&String::from_utf8_lossy(&bytes));
        sane(Shape::LATEST, inside.as_bytes());
    }

    #[test]
    fn damaged_pages_never_panic(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0..4_u8, any::<u8>()), 1..6),
        latest in any::<bool>(),
    ) {
        let mut bytes = captured().into_bytes();
        for (at, what, byte) in edits {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                2 => bytes.insert(at, byte),
                _ => bytes.truncate(at + 1),
            }
        }
        sane(if latest { Shape::LATEST } else { Shape::V6_7 }, &bytes);
    }

    /// Elements shuffled, doubled and dropped: both ways through an event stay in step, and nothing panics.
    #[test]
    fn rearranged_events_never_panic(
        picks in proptest::collection::vec(any::<proptest::sample::Index>(), 0..60),
        latest in any::<bool>(),
    ) {
        let text = captured();
        let pieces: Vec<&str> = text.split_inclusive('>').filter(|p| !p.contains("nvelope") && !p.contains("Body")).collect();
        let events: String = picks.iter().map(|p| pieces[p.index(pieces.len())]).collect();
        sane(if latest { Shape::LATEST } else { Shape::V6_7 }, page(&events).as_bytes());
    }
}
