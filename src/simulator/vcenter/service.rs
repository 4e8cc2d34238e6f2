//! Every call that the vCenter understands.

use super::collector::{MOST_PAGE, count};
use super::filter::Filter;
use super::history::time;
use super::objects::{self, Found, select, setting};
use super::posted;
use super::session::Caller;
use super::soap::{Answer, Fault, Node, write_reference, write_text};
use super::state::{Draft, State, VCenter};
use super::updates::{self, Updates, Wait};
use crate::vim25::soap::Ref;

/// Property collectors of one session.
const MOST_PROPERTY_COLLECTORS: usize = 100;

/// Answers of one session that are not fetched to their end.
const MOST_RESTS: usize = 32;

/// About as many bytes as an event takes.
const EVENT: usize = 1_024;

/// What a call is answered with.
pub(super) struct Reply {
    pub(super) xml: String,
    /// The cookie of a new session.
    pub(super) cookie: Option<String>,
}

/// Answers a call.
pub(super) async fn answer(vcenter: &VCenter, caller: &Caller, call: &Node) -> Result<Reply, Fault> {
    let Some(this) = call.child("_this").map(Node::reference) else {
        return Err(Fault::invalid_request("the call has no _this"));
    };
    let answer = match &*call.name {
        "WaitForUpdatesEx" | "WaitForUpdates" | "CheckForUpdates" => {
            wait_for_updates(vcenter, caller, &this, call).await?
        }
        "Login" => return vcenter.with(|state| login(state, caller, call)),
        _ => vcenter.with(|state| Called::new(state, caller, this, call)?.answer())?,
    };
    Ok(Reply { xml: answer.finish(), cookie: None })
}

async fn wait_for_updates(vcenter: &VCenter, caller: &Caller, this: &Ref, call: &Node) -> Result<Answer, Fault> {
    let mut wait = Wait::read(call);
    match &*call.name {
        "CheckForUpdates" => wait.most = Some(std::time::Duration::ZERO),
        "WaitForUpdates" => wait.most = None,
        _ => {}
    }
    // It is a call of the session, and a sign of life when it begins.
    vcenter.with(|state| state.session(caller, this).map(drop))?;
    let version = call.text_of("version").unwrap_or_default().trim();
    let news = updates::wait(vcenter, caller, this, version, wait, &call.name).await?;
    Ok(news.unwrap_or_else(|| Answer::new(&call.name, 0)))
}

fn login(state: &mut State, caller: &Caller, call: &Node) -> Result<Reply, Fault> {
    let text = |name| call.text_of(name).unwrap_or_default();
    let locale = Some(text("locale")).filter(|locale| !locale.is_empty()).unwrap_or("en");
    let login = state.login(caller, text("userName"), text("password"), locale)?;
    let mut answer = Answer::new(&call.name, 1_024);
    if let Some(session) = state.sessions.get(&login.key) {
        answer.xml.push_str("<returnval>");
        session.value().write_members(&mut answer.xml);
        answer.xml.push_str("</returnval>");
    }
    Ok(Reply { xml: answer.finish(), cookie: Some(login.cookie) })
}

/// A call that is answered at once.
pub(super) struct Called<'a> {
    pub(super) state: &'a mut State,
    /// The session's key; empty without one.
    pub(super) session: String,
    pub(super) this: Ref,
    pub(super) call: &'a Node,
}

impl<'a> Called<'a> {
    fn new(state: &'a mut State, caller: &Caller, this: Ref, call: &'a Node) -> Result<Self, Fault> {
        let open = matches!(&*call.name, "RetrieveServiceContent");
        let session = match state.session(caller, &this) {
            Ok(session) => session.key.clone(),
            Err(_) if open => String::new(),
            Err(fault) => return Err(fault),
        };
        Ok(Self { state, session, this, call })
    }

    pub(super) fn empty(&self) -> Answer {
        Answer::new(&self.call.name, 0)
    }

    fn text(&self, text: &str) -> Answer {
        let mut answer = self.empty();
        write_text(&mut answer.xml, "returnval", text);
        answer
    }

    pub(super) fn reference(&self, object: &Ref) -> Answer {
        let mut answer = self.empty();
        write_reference(&mut answer.xml, "returnval", object);
        answer
    }

    pub(super) fn argument(&self, name: &'static str) -> &'a str {
        self.call.text_of(name).unwrap_or_default().trim()
    }

    /// An argument that must be there.
    pub(super) fn needed(&self, name: &'static str) -> Result<&'a Node, Fault> {
        self.call.child(name).ok_or_else(|| Fault::invalid_argument(name))
    }

    fn answer(self) -> Result<Answer, Fault> {
        match &*self.call.name {
            "RetrieveServiceContent" => {
                let mut answer = Answer::new(&self.call.name, 4_096);
                answer.xml.push_str("<returnval>");
                self.state.content().write_members(&mut answer.xml);
                answer.xml.push_str("</returnval>");
                Ok(answer)
            }
            "CurrentTime" => {
                let now = self.state.clock.now();
                Ok(self.text(&time(now)))
            }
            "Logout" => {
                self.state.logout(&self.session);
                Ok(self.empty())
            }
            "SessionIsActive" => {
                let found = self.state.sessions.get(self.argument("sessionID"));
                let active = found.is_some_and(|session| session.user == self.argument("userName"));
                Ok(self.text(if active { "true" } else { "false" }))
            }
            "TerminateSession" => self.terminate_sessions(),
            "CreateCollectorForEvents" => {
                let made = self.state.create_collector(&self.session, self.needed("filter")?)?;
                Ok(self.reference(&made))
            }
            "ReadNextEvents" | "ReadPreviousEvents" => self.read_events(),
            "RewindCollector" | "ResetCollector" | "SetCollectorPageSize" => self.move_collector(),
            "DestroyCollector" => {
                self.state.destroy_collector(&self.session, &self.this)?;
                Ok(self.empty())
            }
            "QueryEvents" => self.query_events(),
            "PostEvent" => {
                let event = posted::event(self.needed("eventToPost")?, &self.user())?;
                self.state.append(Draft::of(event));
                Ok(self.empty())
            }
            "LogUserEvent" => {
                let entity = self.needed("entity")?.reference();
                let name = self.state.name_of(&entity).ok_or_else(|| Fault::not_found(&entity))?;
                let event = posted::user_event(&entity, &name, self.argument("msg"), &self.user());
                self.state.append(Draft::of(event));
                Ok(self.empty())
            }
            "QueryOptions" => self.query_options(),
            "HasPrivilegeOnEntities" | "HasPrivilegeOnEntity" | "HasUserPrivilegeOnEntities" => Ok(self.privileges()),
            "RetrieveProperties" | "RetrievePropertiesEx" => self.retrieve(),
            "ContinueRetrievePropertiesEx" | "CancelRetrievePropertiesEx" => self.go_on(),
            "CreatePropertyCollector" => {
                let session = self.state.session_of(&self.session, &self.this)?;
                if session.updates.len() >= MOST_PROPERTY_COLLECTORS {
                    return Err(Fault::invalid_state());
                }
                let made = session.made("PropertyCollector");
                session.updates.insert(made.value.clone(), Updates::default());
                Ok(self.reference(&made))
            }
            "DestroyPropertyCollector" => {
                let session = self.state.session_of(&self.session, &self.this)?;
                session.updates.remove(&self.this.value).ok_or_else(|| Fault::not_found(&self.this))?;
                self.state.touch();
                Ok(self.empty())
            }
            "CreateFilter" => {
                let spec = self.needed("spec")?;
                let made = self.state.create_filter(&self.session, &self.this, spec)?;
                Ok(self.reference(&made))
            }
            "DestroyPropertyFilter" => {
                let session = self.state.session_of(&self.session, &self.this)?;
                if !session.updates.values_mut().any(|updates| updates.remove(&self.this.value)) {
                    return Err(Fault::not_found(&self.this));
                }
                Ok(self.empty())
            }
            "CancelWaitForUpdates" => {
                let session = self.state.session_of(&self.session, &self.this)?;
                session.updates.get_mut(&self.this.value).ok_or_else(|| Fault::not_found(&self.this))?.cancel();
                self.state.touch();
                Ok(self.empty())
            }
            _ => self.of_entity(),
        }
    }

    pub(super) fn user(&self) -> String {
        self.state.sessions.get(&self.session).map(|session| session.user.clone()).unwrap_or_default()
    }

    fn terminate_sessions(self) -> Result<Answer, Fault> {
        let keys: Vec<_> = self.call.all("sessionId").map(|node| node.text.trim().to_owned()).collect();
        // One's own is ended by logging out.
        if keys.contains(&self.session) {
            return Err(Fault::invalid_argument("sessionId"));
        }
        for key in keys {
            if self.state.sessions.get(&key).is_none() {
                return Err(Fault::new("NotFound", "The object or item referred to could not be found."));
            }
            self.state.logout(&key);
        }
        Ok(self.empty())
    }

    fn read_events(self) -> Result<Answer, Fault> {
        let most = count(self.argument("maxCount"))?;
        let (collector, history) = self.state.collector(&self.session, &self.this)?;
        let ahead = usize::try_from(history.end().saturating_sub(collector.cursor())).unwrap_or(usize::MAX);
        let mut answer = Answer::new(&self.call.name, most.min(ahead) * EVENT);
        let mut served = 0;
        let each = |record: &super::history::Record| {
            served += 1;
            record.write(&mut answer.xml, "returnval");
        };
        if self.call.name == "ReadNextEvents" {
            collector.read_next(history, most, each);
            self.state.was_read();
        } else {
            collector.read_previous(history, most, each);
        }
        self.state.served += served;
        Ok(answer)
    }

    fn move_collector(self) -> Result<Answer, Fault> {
        let page = self.argument("maxCount");
        let (collector, history) = self.state.collector(&self.session, &self.this)?;
        match &*self.call.name {
            "RewindCollector" => collector.rewind(history),
            "ResetCollector" => collector.reset(history),
            _ => collector.set_page(count(page)?),
        }
        self.state.touch();
        Ok(self.empty())
    }

    fn query_events(self) -> Result<Answer, Fault> {
        let spec = self.needed("filter")?;
        let most = spec.text_of("maxCount").map_or(Ok(MOST_PAGE), count)?;
        let filter = Filter::read(spec, self.state)?;
        let history = &self.state.history;
        let newest = history.before(history.end()).filter(|record| filter.matches(record)).take(most);
        let mut answer = Answer::new(&self.call.name, most.min(history.len()) * EVENT);
        newest.filter(|record| !record.hidden).for_each(|record| record.write(&mut answer.xml, "returnval"));
        Ok(answer)
    }

    fn query_options(self) -> Result<Answer, Fault> {
        let name = self.argument("name");
        // A name that ends with a dot is that of everything below it.
        let found = |key: &str| key == name || name.is_empty() || name.ends_with('.') && key.starts_with(name);
        let mut answer = self.empty();
        for of in objects::SETTINGS.iter().filter(|(key, ..)| found(key)) {
            answer.xml.push_str("<returnval xsi:type=\"OptionValue\">");
            setting(*of).write_members(&mut answer.xml);
            answer.xml.push_str("</returnval>");
        }
        if answer.xml.ends_with('>') && !answer.xml.contains("<returnval") {
            let mut fields = String::new();
            write_text(&mut fields, "name", name);
            let fault = Fault::new("InvalidName", "The name is not valid.");
            return Err(Fault { fields, ..fault });
        }
        Ok(answer)
    }

    /// The one user may do everything.
    fn privileges(&self) -> Answer {
        let mut answer = self.empty();
        if self.call.name == "HasPrivilegeOnEntity" {
            self.call.all("privId").for_each(|_| write_text(&mut answer.xml, "returnval", "true"));
            return answer;
        }
        // One of the calls has `entity`, the other `entities`.
        for entity in self.call.all("entity").chain(self.call.all("entities")) {
            answer.xml.push_str("<returnval>");
            write_reference(&mut answer.xml, "entity", &entity.reference());
            for privilege in self.call.all("privId") {
                answer.xml.push_str("<privAvailability>");
                write_text(&mut answer.xml, "privId", privilege.text.trim());
                write_text(&mut answer.xml, "isGranted", "true");
                answer.xml.push_str("</privAvailability>");
            }
            answer.xml.push_str("</returnval>");
        }
        answer
    }

    fn retrieve(self) -> Result<Answer, Fault> {
        let mut found = Vec::new();
        for spec in self.call.all("specSet") {
            found.extend(select(self.state, &self.session, spec)?);
        }
        let whole = self.call.name == "RetrieveProperties";
        let element = if whole { "returnval" } else { "objects" };
        let mut objects: std::collections::VecDeque<_> =
            found.iter().map(|found| object_content(found, element)).collect();
        let mut answer = Answer::new(&self.call.name, objects.iter().map(String::len).sum::<usize>() + 128);
        if whole {
            objects.iter().for_each(|object| answer.xml.push_str(object));
            return Ok(answer);
        }
        if objects.is_empty() {
            return Ok(answer);
        }
        let options = self.call.child("options").and_then(|options| options.text_of("maxObjects"));
        let most = options.and_then(|most| most.trim().parse().ok()).filter(|most| *most > 0).unwrap_or(usize::MAX);
        let rest = if objects.len() > most { objects.split_off(most) } else { Default::default() };
        answer.xml.push_str("<returnval>");
        if !rest.is_empty() {
            let session = self.state.session_of(&self.session, &self.this)?;
            if session.rests.len() >= MOST_RESTS {
                session.rests.pop_first();
            }
            let token = session.made("").value;
            write_text(&mut answer.xml, "token", &token);
            session.rests.insert(token, rest);
        }
        objects.iter().for_each(|object| answer.xml.push_str(object));
        answer.xml.push_str("</returnval>");
        Ok(answer)
    }

    /// The rest of a long answer, in pieces of what a client may have asked for at first.
    fn go_on(self) -> Result<Answer, Fault> {
        /// Objects of one piece.
        const PIECE: usize = 100;
        let token = self.argument("token");
        let session = self.state.session_of(&self.session, &self.this)?;
        let mut rest = session.rests.remove(token).ok_or_else(|| Fault::invalid_argument("token"))?;
        let mut answer = Answer::new(&self.call.name, 0);
        if self.call.name == "CancelRetrievePropertiesEx" {
            return Ok(answer);
        }
        answer.xml.push_str("<returnval>");
        let later = rest.split_off(PIECE.min(rest.len()));
        if !later.is_empty() {
            write_text(&mut answer.xml, "token", token);
            session.rests.insert(token.to_owned(), later);
        }
        rest.iter().for_each(|object| answer.xml.push_str(object));
        answer.xml.push_str("</returnval>");
        Ok(answer)
    }
}

/// An `ObjectContent`.
fn object_content((object, properties): &Found, element: &str) -> String {
    let mut xml = format!("<{element}>");
    write_reference(&mut xml, "obj", object);
    for (path, value) in properties {
        xml.push_str("<propSet>");
        write_text(&mut xml, "name", path);
        value.write_val(&mut xml, "val");
        xml.push_str("</propSet>");
    }
    xml.push_str("</");
    xml.push_str(element);
    xml.push('>');
    xml
}
