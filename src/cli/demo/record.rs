//! What reached the functions, as they saw it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

/// Events that are remembered; an older one that somebody still waits for is counted, but no longer shown.
const KEPT: usize = 4096;

/// Latencies that are remembered for each function.
const SAMPLES: usize = 16_384;

/// What latencies are of.
const WINDOW: Duration = Duration::from_secs(60);

/// The members of an event's data that name what it is about, the telling ones first.
const ENTITIES: [&str; 9] =
    ["/Entity", "/Vm", "/Host", "/Ds", "/Net", "/Dvs", "/ComputeResource", "/Datacenter", "/ManagedObject"];

/// How far an event is with one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The function does not subscribe to it.
    Unwanted,
    /// It was not called yet.
    Waiting,
    /// It failed, so many times, with this status at last.
    Failed { attempts: u32, status: u16 },
    /// It has it, after so many attempts.
    Delivered { attempts: u32 },
}

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// When it was created; nothing for an event without time.
    pub(super) created: Option<Timestamp>,
    pub(super) subject: String,
    /// The name of what it is about, or who did it.
    pub(super) entity: String,
    /// From its creation to the first call of a function.
    pub(super) latency: Option<Duration>,
    /// By function.
    pub(super) progress: Vec<Progress>,
}

impl Row {
    fn is_settled(&self) -> bool {
        !self.progress.iter().any(|progress| matches!(progress, Progress::Waiting | Progress::Failed { .. }))
    }
}

/// How one function fares.
#[derive(Debug)]
struct Function {
    topics: HashSet<&'static str>,
    /// Events that somebody got and that this function wants too.
    expected: u64,
    delivered: u64,
    /// When it got events of late, and how old they were.
    latencies: VecDeque<(Instant, Duration)>,
}

/// Figures of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) expected: u64,
    pub(super) delivered: u64,
    /// Half of the last minute's events came sooner after their creation.
    pub(super) p50: Option<Duration>,
    /// So did 99 of 100.
    pub(super) p99: Option<Duration>,
}

/// What reached the functions.
#[derive(Debug)]
pub(super) struct Record {
    functions: Vec<Function>,
    rows: VecDeque<Row>,
    /// The number of the first row, counted from the first event that there was.
    first: u64,
    numbers: HashMap<Box<str>, u64>,
    /// The ids of the rows.
    ids: VecDeque<Box<str>>,
    /// Who wants every event that all have.
    settled: Option<mpsc::Sender<Row>>,
    /// Those that there was no room for.
    missed: u64,
}

/// The part of a CloudEvent that is shown.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    subject: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    #[serde(default)]
    data: Value,
}

impl Told<'_> {
    fn entity(&self) -> String {
        let name = |member: &&str| self.data.pointer(member)?.get("Name")?.as_str();
        let named = ENTITIES.iter().find_map(name).filter(|name| !name.is_empty());
        let other = || ["ObjectName", "UserName"].iter().find_map(|member| self.data.get(member)?.as_str());
        named.or_else(other).unwrap_or_default().to_owned()
    }
}

impl Record {
    /// Of functions with these topics. `settled` is told of every event that all who want it have.
    pub(super) fn new<'a>(
        functions: impl IntoIterator<Item = &'a Vec<&'static str>>,
        settled: Option<mpsc::Sender<Row>>,
    ) -> Self {
        let functions = functions.into_iter().map(|topics| Function {
            topics: topics.iter().copied().collect(),
            expected: 0,
            delivered: 0,
            latencies: VecDeque::new(),
        });
        Self {
            functions: functions.collect(),
            rows: VecDeque::new(),
            first: 0,
            numbers: HashMap::new(),
            ids: VecDeque::new(),
            settled,
            missed: 0,
        }
    }

    /// A function was called with this body, and answers with this status.
    pub(super) fn called(&mut self, function: usize, body: &[u8], status: u16) {
        // What is no CloudEvent did not come from the router.
        let Ok(told) = serde_json::from_slice::<Told<'_>>(body) else { return };
        let (now, clock) = (Instant::now(), Timestamp::now());
        let created = told.time.parse::<Timestamp>().ok();
        let age = created.map(|created| Duration::try_from(clock.duration_since(created)).unwrap_or_default());
        let number = match self.numbers.get(told.id.as_ref()) {
            Some(number) => *number,
            None => self.begin(&told, created, age),
        };
        let Some(row) = number.checked_sub(self.first).and_then(|at| self.rows.get_mut(usize::try_from(at).ok()?))
        else {
            return;
        };
        let Some(progress) = row.progress.get_mut(function) else { return };
        let attempts = match *progress {
            // Sent twice, as it may be after an answer that was lost.
            Progress::Delivered { .. } => return,
            Progress::Failed { attempts, .. } => attempts + 1,
            Progress::Waiting | Progress::Unwanted => 1,
        };
        if !(200..300).contains(&status) {
            *progress = Progress::Failed { attempts, status };
            return;
        }
        *progress = Progress::Delivered { attempts };
        if row.is_settled() {
            Self::tell(self.settled.as_ref(), &mut self.missed, row);
        }
        let Some(function) = self.functions.get_mut(function) else { return };
        function.delivered += 1;
        if let Some(age) = age {
            if function.latencies.len() == SAMPLES {
                function.latencies.pop_front();
            }
            function.latencies.push_back((now, age));
        }
    }

    /// A row for an event that nobody had before: its number.
    fn begin(&mut self, told: &Told<'_>, created: Option<Timestamp>, age: Option<Duration>) -> u64 {
        if self.rows.len() == KEPT {
            let (row, id) = (self.rows.pop_front(), self.ids.pop_front());
            if let Some(id) = id {
                self.numbers.remove(&id);
            }
            self.first += 1;
            // Whoever lists events misses none, even if it cannot say how this one ended.
            if let Some(row) = row.filter(|row| !row.is_settled()) {
                Self::tell(self.settled.as_ref(), &mut self.missed, &row);
            }
        }
        let number = self.first + self.rows.len() as u64;
        let progress = self.functions.iter_mut().map(|function| {
            if !function.topics.contains(told.subject.as_ref()) {
                return Progress::Unwanted;
            }
            function.expected += 1;
            Progress::Waiting
        });
        self.rows.push_back(Row {
            created,
            subject: told.subject.clone().into_owned(),
            entity: told.entity(),
            latency: age,
            progress: progress.collect(),
        });
        let id: Box<str> = told.id.as_ref().into();
        self.ids.push_back(id.clone());
        self.numbers.insert(id, number);
        number
    }

    fn tell(settled: Option<&mpsc::Sender<Row>>, missed: &mut u64, row: &Row) {
        if settled.is_some_and(|settled| settled.try_send(row.clone()).is_err()) {
            *missed += 1;
        }
    }

    /// Tells the rest: those that somebody still waits for. Nothing is told after that.
    pub(super) fn finish(&mut self) {
        for row in self.rows.iter().filter(|row| !row.is_settled()) {
            Self::tell(self.settled.as_ref(), &mut self.missed, row);
        }
        self.settled = None;
    }

    /// The newest events, so many at most, the newest of them first.
    pub(super) fn newest(&self, most: usize) -> Vec<Row> {
        self.rows.iter().rev().take(most).cloned().collect()
    }

    /// Events that somebody got.
    pub(super) fn events(&self) -> u64 {
        self.first + self.rows.len() as u64
    }

    /// Events that could not be told, since nobody took them.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// Deliveries.
    pub(super) fn delivered(&self) -> u64 {
        self.functions.iter().map(|function| function.delivered).sum()
    }

    /// How each function fares.
    pub(super) fn counts(&mut self) -> Vec<Counts> {
        let now = Instant::now();
        let counts = self.functions.iter_mut().map(|function| {
            while function.latencies.front().is_some_and(|(time, _)| now.duration_since(*time) > WINDOW) {
                function.latencies.pop_front();
            }
            let mut ages: Vec<_> = function.latencies.iter().map(|(_, age)| *age).collect();
            ages.sort_unstable();
            Counts {
                expected: function.expected,
                delivered: function.delivered,
                p50: quantile(&ages, 50),
                p99: quantile(&ages, 99),
            }
        });
        counts.collect()
    }
}

/// The smallest that so many of a hundred do not exceed.
fn quantile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

/// A duration as people read it, in at most seven characters below an hour.
pub(super) struct Short(pub(super) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_secs_f64() * 1e3;
        // Rounding must not make 10.0 ms of 9.96.
        let text = match ms {
            ..9.95 => format!("{ms:.1} ms"),
            ..999.5 => format!("{ms:.0} ms"),
            ..99_950.0 => format!("{:.1} s", ms / 1e3),
            _ => format!("{:.0} s", ms / 1e3),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> [Vec<&'static str>; 2] {
        [vec!["VmPoweredOnEvent", "AlarmEvent"], vec!["AlarmEvent"]]
    }

    fn event(id: u32, subject: &str, data: &str) -> String {
        let time = Timestamp::now();
        format!(r#"{{"specversion":"1.0","id":"{id}","subject":"{subject}","time":"{time}","data":{data}}}"#)
    }

    #[test]
    fn an_event_is_one_row_whoever_gets_it_and_how_often() {
        let (told, mut settled) = mpsc::channel(8);
        let mut record = Record::new(&topics(), Some(told));
        let power = event(1, "VmPoweredOnEvent", r#"{"Vm":{"Name":"web-1"},"Host":{"Name":"esx"},"UserName":"me"}"#);
        record.called(0, power.as_bytes(), 200);
        record.called(0, power.as_bytes(), 200);
        let alarm = event(2, "AlarmEvent", r#"{"Entity":{"Name":"esx"},"Vm":{"Name":"web-1"}}"#);
        record.called(1, alarm.as_bytes(), 503);
        record.called(1, alarm.as_bytes(), 500);
        let rows = record.newest(10);
        assert_eq!(rows[0].progress, [Progress::Waiting, Progress::Failed { attempts: 2, status: 500 }]);
        assert_eq!(rows[1].progress, [Progress::Delivered { attempts: 1 }, Progress::Unwanted]);
        assert_eq!((rows[0].entity.as_str(), rows[1].entity.as_str()), ("esx", "web-1"));
        record.called(0, alarm.as_bytes(), 200);
        let counts: Vec<_> = record.counts().iter().map(|counts| (counts.expected, counts.delivered)).collect();
        assert_eq!(counts, [(2, 2), (1, 0)], "one waits");
        assert_eq!(settled.try_recv().unwrap().subject, "VmPoweredOnEvent");
        assert!(settled.try_recv().is_err(), "what somebody waits for is not told");
        record.called(1, alarm.as_bytes(), 202);
        assert_eq!(settled.try_recv().unwrap().progress[1], Progress::Delivered { attempts: 3 });
        assert_eq!((record.events(), record.delivered(), record.missed()), (2, 3, 0));
    }

    #[test]
    fn what_is_told_is_told_once_and_the_rest_at_the_end() {
        let (told, mut settled) = mpsc::channel(1);
        let mut record = Record::new(&topics(), Some(told));
        record.called(0, event(1, "AlarmEvent", "null").as_bytes(), 200);
        record.finish();
        assert_eq!(settled.try_recv().unwrap().progress[1], Progress::Waiting);
        record.called(1, event(1, "AlarmEvent", "{}").as_bytes(), 200);
        assert!(settled.try_recv().is_err());
        record.called(0, b"no JSON", 200);
        assert_eq!(record.events(), 1);
    }

    #[test]
    fn it_grows_no_further_and_nothing_is_told_twice() {
        let (told, mut settled) = mpsc::channel(16);
        let mut record = Record::new(&topics(), Some(told));
        record.called(0, event(0, "AlarmEvent", "{}").as_bytes(), 200);
        for id in 1..=u32::try_from(KEPT).unwrap() + 40 {
            record.called(0, event(id, "VmPoweredOnEvent", "{}").as_bytes(), 200);
            if id < 8 {
                settled.try_recv().unwrap();
            }
        }
        assert_eq!((record.rows.len(), record.ids.len(), record.numbers.len()), (KEPT, KEPT, KEPT));
        assert_eq!((record.events(), record.newest(1)[0].subject.as_str()), (KEPT as u64 + 41, "VmPoweredOnEvent"));
        assert!(record.missed() > 0, "nobody took them");
    }

    #[test]
    fn latencies_are_of_those_who_have_it() {
        let mut record = Record::new(&topics(), None);
        assert_eq!(record.counts()[1], Counts::default());
        let old = br#"{"id":"1","subject":"AlarmEvent","time":"2020-01-01T00:00:00Z"}"#;
        record.called(0, old, 200);
        assert!(record.counts()[0].p99 > Some(Duration::from_secs(3600)));
        let ages: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let quantiles = [50, 99].map(|percent| quantile(&ages, percent).unwrap().as_millis());
        assert_eq!(quantiles, [100, 198]);
        assert_eq!((quantile(&ages[..1], 50), quantile(&[], 99)), (Some(ages[0]), None));
        let shown = |micros| Short(Duration::from_micros(micros)).to_string();
        assert_eq!([40, 9_949, 9_960, 999_400, 999_600].map(shown), ["0.0 ms", "9.9 ms", "10 ms", "999 ms", "1.0 s"]);
        assert_eq!(shown(123_456_789), "123 s");
    }
}
