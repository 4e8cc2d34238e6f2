//! The managed objects that are not of the data centre: managers and collectors, and what can be asked of them.

use std::borrow::Cow;

use super::property;
use super::session::Session;
use super::soap::{Fault, Node};
use super::state::State;
use crate::simulator::value::{Object, Value};
use crate::vim25::soap::Ref;

/// An object, and those of its properties that were asked for, by path.
pub(super) type Found = (Ref, Vec<(String, Value)>);

/// The version that it is.
pub(super) const VERSION: &str = "8.0.3";
pub(super) const API_VERSION: &str = "8.0.3.0";
const BUILD: &str = "24022515";

/// Every manager: its place in the service content, its type and its value.
const MANAGERS: [(&str, &str, &str); 25] = [
    ("rootFolder", "Folder", "group-d1"),
    ("propertyCollector", "PropertyCollector", "propertyCollector"),
    ("viewManager", "ViewManager", "ViewManager"),
    ("setting", "OptionManager", "VpxSettings"),
    ("userDirectory", "UserDirectory", "UserDirectory"),
    ("sessionManager", "SessionManager", "SessionManager"),
    ("authorizationManager", "AuthorizationManager", "AuthorizationManager"),
    ("serviceManager", "ServiceManager", "ServiceMgr"),
    ("perfManager", "PerformanceManager", "PerfMgr"),
    ("scheduledTaskManager", "ScheduledTaskManager", "ScheduledTaskManager"),
    ("alarmManager", "AlarmManager", "AlarmManager"),
    ("eventManager", "EventManager", "EventManager"),
    ("taskManager", "TaskManager", "TaskManager"),
    ("extensionManager", "ExtensionManager", "ExtensionManager"),
    ("customizationSpecManager", "CustomizationSpecManager", "CustomizationSpecManager"),
    ("guestCustomizationManager", "VirtualMachineGuestCustomizationManager", "GuestCustomizationManager"),
    ("customFieldsManager", "CustomFieldsManager", "CustomFieldsManager"),
    ("diagnosticManager", "DiagnosticManager", "DiagMgr"),
    ("licenseManager", "LicenseManager", "LicenseManager"),
    ("searchIndex", "SearchIndex", "SearchIndex"),
    ("fileManager", "FileManager", "FileManager"),
    ("virtualDiskManager", "VirtualDiskManager", "virtualDiskManager"),
    ("ovfManager", "OvfManager", "OvfManager"),
    ("dvSwitchManager", "DistributedVirtualSwitchManager", "DVSManager"),
    ("localizationManager", "LocalizationManager", "LocalizationManager"),
];

/// The settings that clients ask for.
pub(super) const SETTINGS: [(&str, &str, &str); 7] = [
    ("config.vmacore.soap.maxSessionCount", "xsd:int", "3000"),
    ("config.vmacore.soap.sessionTimeout", "xsd:int", "30"),
    ("event.batchsize", "xsd:int", "2000"),
    ("event.maxAge", "xsd:int", "30"),
    ("event.maxAgeEnabled", "xsd:boolean", "true"),
    ("task.maxAge", "xsd:int", "30"),
    ("task.maxAgeEnabled", "xsd:boolean", "true"),
];

/// A setting as an `OptionValue`.
pub(super) fn setting((key, kind, value): (&'static str, &'static str, &str)) -> Value {
    Value::Object("OptionValue", vec![("key", Value::string(key)), ("value", Value::Text(kind, value.to_owned()))])
}

/// The service instance, where everything begins.
pub(super) fn service_instance() -> Ref {
    Ref::new("ServiceInstance", "ServiceInstance")
}

/// Whether there is a manager of that type and value.
pub(super) fn is_manager(object: &Ref) -> bool {
    MANAGERS.iter().any(|(_, kind, value)| object.kind == *kind && object.value == *value)
        || *object == service_instance()
}

impl State {
    /// The `ServiceContent`.
    pub(super) fn content(&self) -> Value {
        let about = [
            ("name", "VMware vCenter Server"),
            ("fullName", concat!("VMware vCenter Server 8.0.3 build-", "24022515")),
            ("vendor", "VMware, Inc."),
            ("version", VERSION),
            ("build", BUILD),
            ("localeVersion", "INTL"),
            ("localeBuild", "000"),
            ("osType", "linux-x64"),
            ("productLineId", "vpx"),
            ("apiType", "VirtualCenter"),
            ("apiVersion", API_VERSION),
        ];
        let mut about: Vec<_> = about.into_iter().map(|(name, text)| (name, Value::string(text))).collect();
        about.push(("instanceUuid", Value::string(self.instance.to_string())));
        about.push(("licenseProductName", Value::string("VMware VirtualCenter Server")));
        about.push(("licenseProductVersion", Value::string("8.0")));
        let mut members: Vec<_> =
            MANAGERS.iter().map(|(name, kind, value)| (*name, Value::Ref(Ref::new(kind, value)))).collect();
        members.insert(3, ("about", Value::Object("AboutInfo", about)));
        Value::Object("ServiceContent", members)
    }

    /// An object as a session sees it, with those of its properties that are wanted.
    pub(super) fn object(&self, session: &Session, object: &Ref, wanted: &dyn Fn(&str) -> bool) -> Option<Object> {
        let mut properties = Vec::new();
        let mut add = |name: &'static str, value: &dyn Fn() -> Option<Value>| {
            if wanted(name)
                && let Some(value) = value()
            {
                properties.push((name, value));
            }
        };
        match &*object.kind {
            "EventHistoryCollector" => {
                let collector = session.collectors.get(&object.value)?;
                add("filter", &|| {
                    let mut xml = String::new();
                    collector.filter.spec().write_inside(&mut xml);
                    Some(Value::Xml(Cow::Borrowed("EventFilterSpec"), xml))
                });
                add("initialized", &|| Some(Value::bool(true)));
                add("latestPage", &|| {
                    let mut xml = String::new();
                    collector.latest().for_each(|record| record.write(&mut xml, "Event"));
                    Some(Value::Xml(Cow::Borrowed("ArrayOfEvent"), xml))
                });
            }
            "ContainerView" => return Some(session.views.get(&object.value)?.object(object, &self.world)),
            _ if !is_manager(object) => return self.world.object(object),
            "Folder" => return self.world.object(object),
            "EventManager" => {
                add("description", &|| {
                    Some(Value::Object("EventDescription", vec![("eventInfo", self.world.catalogue())]))
                });
                add("latestEvent", &|| {
                    let newest = self.history.before(self.history.end()).find(|record| !record.hidden)?;
                    let mut xml = String::new();
                    newest.write_inside(&mut xml);
                    Some(Value::Xml(Cow::Owned(newest.body.class.to_string()), xml))
                });
                add("maxCollector", &|| {
                    Some(Value::int(i64::try_from(super::collector::MOST_COLLECTORS).unwrap_or(i64::MAX)))
                });
            }
            "SessionManager" => {
                add("sessionList", &|| {
                    Some(Value::Array("UserSession", self.sessions.iter().map(Session::value).collect()))
                });
                add("currentSession", &|| Some(session.value()));
                add("message", &|| Some(Value::string("")));
                add("defaultLocale", &|| Some(Value::string("en")));
            }
            "TaskManager" => add("recentTask", &|| Some(Value::refs(self.world.recent_tasks()))),
            "ServiceInstance" => {
                add("content", &|| Some(self.content()));
                add("serverClock", &|| Some(Value::time(super::history::time(self.clock.last()))));
            }
            "OptionManager" => {
                let all = || SETTINGS.iter().map(|of| setting(*of)).collect();
                add("setting", &|| Some(Value::Array("OptionValue", all())));
            }
            _ => {}
        }
        Some(Object { reference: object.clone(), properties })
    }
}

/// Lets a collector look at the history before its latest page is shown.
pub(super) fn look(state: &mut State, session: &str, object: &Ref) {
    let State { sessions, history, .. } = state;
    if let Some(session) = sessions.get_mut(session)
        && let Ok(collector) = session.collector(object)
    {
        collector.look(history);
    }
}

/// Selects what a `PropertyFilterSpec` asks for.
pub(super) fn select(state: &mut State, session: &str, spec: &Node) -> Result<Vec<Found>, Fault> {
    for object in spec.all("objectSet").filter_map(|set| set.child("obj")) {
        look(state, session, &object.reference());
    }
    let state: &State = state;
    let session = state.sessions.get(session).ok_or_else(|| Fault::not_authenticated(&service_instance()))?;
    let wanted = |kind: &str, name: &str| property::wants(spec, kind, name);
    property::select(spec, &|object| state.object(session, object, &|name| wanted(&object.kind, name)))
}
