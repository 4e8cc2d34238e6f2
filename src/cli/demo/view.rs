//! What the terminal shows: drawn from figures alone.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};
use tracing::Level;

use super::record::{Progress, Row, Short};
use crate::cli::logging;

/// How a function is at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Health {
    /// It was not called yet.
    #[default]
    Unknown,
    /// It answers.
    Answers,
    /// It does not, and is only probed.
    Away,
    /// It answers again, and works off what it missed.
    CatchesUp,
}

/// Figures of one function.
#[derive(Clone, Debug, Default)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) delivered: u64,
    pub(super) retried: u64,
    pub(super) waiting: u64,
    pub(super) p50: Option<Duration>,
    pub(super) p99: Option<Duration>,
    pub(super) health: Health,
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) elapsed: Duration,
    /// It was asked to end, and finishes what is under way.
    pub(super) ending: bool,
    /// The stream's state, and whether that is the usual one.
    pub(super) stream: String,
    pub(super) streaming: bool,
    /// Events a second.
    pub(super) rate: f64,
    /// How full the journal is, from 0 to 1.
    pub(super) journal: f64,
    /// Memory of the process, in bytes.
    pub(super) resident: u64,
    pub(super) functions: Vec<Function>,
    /// The newest first.
    pub(super) events: Vec<Row>,
    /// The newest last.
    pub(super) log: Vec<logging::Line>,
    /// The metrics server.
    pub(super) metrics: Option<SocketAddr>,
    /// The simulated vCenter.
    pub(super) vcenter: String,
}

/// How things may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) colour: bool,
}

impl Look {
    /// Without colour where `NO_COLOR` says so.
    pub(super) fn of_environment() -> Self {
        Self { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn paint(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn good(self) -> Style {
        self.paint(Color::Green)
    }

    fn odd(self) -> Style {
        self.paint(Color::Yellow)
    }

    fn bad(self) -> Style {
        self.paint(Color::Red).add_modifier(Modifier::BOLD)
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

/// Draws everything that there is room for.
pub(super) fn draw(frame: &mut Frame<'_>, figures: &Figures, look: Look) {
    let area = frame.area();
    let (log, footer) = match area.height {
        24.. => (4, 4),
        18.. => (3, 2),
        14.. => (0, 2),
        _ => (0, 0),
    };
    let gap = u16::from(area.height >= 14);
    let functions = u16::try_from(figures.functions.len()).unwrap_or(u16::MAX).saturating_add(1);
    let parts = Layout::vertical([
        Constraint::Length(1 + gap),
        Constraint::Length(u16::from(area.height >= 30)),
        Constraint::Length(functions),
        Constraint::Length(gap),
        Constraint::Min(0),
        Constraint::Length(log),
        Constraint::Length(footer),
    ]);
    let [top, _, targets, _, events, lines, bottom] = parts.areas(area);
    header(frame, top, figures, look);
    frame.render_widget(function_table(figures, targets, look), targets);
    frame.render_widget(event_table(figures, events, look), events);
    frame.render_widget(log_lines(figures, lines, look), lines);
    frame.render_widget(where_next(figures, bottom), bottom);
}

/// Who it is, how to end it, and how it is: the last where there is a line for it, or in place of who it is.
fn header(frame: &mut Frame<'_>, area: Rect, figures: &Figures, look: Look) {
    let ends = if figures.ending { "ending, finishes what is under way" } else { "Ctrl-C ends" };
    let ends = Line::styled(ends, if figures.ending { look.odd() } else { DIM });
    let [top, below] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let width = |taken: usize| usize::from(area.width).saturating_sub(taken);
    if area.height > 1 {
        frame.render_widget(Line::styled("VMware Event Router: a demonstration", BOLD), top);
        frame.render_widget(status(figures, width(0), look), below);
    } else {
        frame.render_widget(status(figures, width(ends.width() + 2), look), top);
    }
    let [_, corner] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(u16::try_from(ends.width()).unwrap_or(u16::MAX))])
            .areas(top);
    frame.render_widget(ends, corner);
}

/// How it is, as much as there is room for.
fn status(figures: &Figures, width: usize, look: Look) -> Line<'static> {
    let seconds = figures.elapsed.as_secs();
    let state = if figures.streaming { look.good() } else { look.odd() };
    let all = [
        Span::styled(format!("● {}", figures.stream), state),
        Span::raw(format!("{:.1} events/s", figures.rate)),
        Span::raw(format!("journal {:.0} %", figures.journal * 100.0)),
        Span::raw(format!("memory {:.1} MB", figures.resident as f64 / 1e6)),
        Span::raw(format!("{}:{:02}", seconds / 60, seconds % 60)),
    ];
    let mut line = Line::default();
    for span in all {
        let gap = if line.spans.is_empty() { "" } else { "   " };
        if line.width() + gap.len() + span.width() > width {
            break;
        }
        line.extend([Span::raw(gap), span]);
    }
    line
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Text::from(text).right_aligned())
}

fn titles(names: &[(&'static str, bool)]) -> TableRow<'static> {
    let cell = |(name, to_the_right): &(&'static str, bool)| {
        if *to_the_right { right((*name).to_owned()) } else { Cell::from(*name) }
    };
    TableRow::new(names.iter().map(cell).collect::<Vec<_>>()).style(DIM)
}

fn function_table(figures: &Figures, area: Rect, look: Look) -> Table<'static> {
    let latencies = area.width >= 76;
    let retries = area.width >= 50;
    let mut widths = vec![11, 9];
    let mut names = vec![("FUNCTION", false), ("DELIVERED", true)];
    if retries {
        widths.push(7);
        names.push(("RETRIED", true));
    }
    widths.push(7);
    names.push(("WAITING", true));
    if latencies {
        widths.extend([7, 7]);
        names.extend([("P50", true), ("P99", true)]);
    }
    names.push(("", false));
    let rows = figures.functions.iter().map(|function| {
        let short = |latency: Option<Duration>| right(latency.map(|age| Short(age).to_string()).unwrap_or_default());
        let mut cells = vec![Cell::from(function.name), right(function.delivered.to_string())];
        if retries {
            cells.push(right(function.retried.to_string()));
        }
        let waiting = if function.waiting > 0 { look.odd() } else { Style::new() };
        cells.push(right(function.waiting.to_string()).style(waiting));
        if latencies {
            cells.extend([short(function.p50), short(function.p99)]);
        }
        let (text, style) = match function.health {
            Health::Unknown if !retries => ("", DIM),
            Health::Unknown => ("not called yet", DIM),
            Health::Answers if !retries => ("ok", look.good()),
            Health::Answers => ("answers", look.good()),
            Health::Away if !retries => ("away", look.bad()),
            Health::Away => ("away, events wait", look.bad()),
            Health::CatchesUp if !retries => ("late", look.odd()),
            Health::CatchesUp => ("catching up", look.odd()),
        };
        cells.push(Cell::from(text).style(style));
        TableRow::new(cells)
    });
    let widths = widths.into_iter().map(Constraint::Length).chain([Constraint::Fill(1)]);
    Table::new(rows.collect::<Vec<_>>(), widths).header(titles(&names)).column_spacing(2)
}

/// The widths of an event's columns: time, subject, entity, latency, functions.
#[derive(Clone, Copy)]
struct Columns {
    time: u16,
    subject: u16,
    entity: u16,
    latency: u16,
    functions: u16,
}

impl Columns {
    fn of(width: u16) -> Self {
        let (time, entity, latency, functions) = match width {
            130.. => (12, 24, 8, 52),
            110.. => (12, 20, 8, 40),
            72.. => (8, 13, 7, 17),
            56.. => (8, 13, 7, 3),
            _ => (8, 9, 0, 3),
        };
        let gaps = if latency == 0 { 3 } else { 4 };
        let subject = width.saturating_sub(time + entity + latency + functions + gaps);
        Self { time, subject, entity, latency, functions }
    }
}

fn event_table(figures: &Figures, area: Rect, look: Look) -> Table<'static> {
    let columns = Columns::of(area.width);
    let shown = usize::from(area.height.saturating_sub(1));
    let rows = figures.events.iter().take(shown).map(|event| {
        let time = event.created.map(|time| clock(time, columns.time)).unwrap_or_default();
        let mut cells = vec![
            Cell::from(time).style(DIM),
            Cell::from(fit_name(&event.subject, columns.subject)),
            Cell::from(fit(&event.entity, columns.entity)),
        ];
        if columns.latency > 0 {
            cells.push(right(event.latency.map(|age| Short(age).to_string()).unwrap_or_default()));
        }
        cells.push(Cell::from(marks(event, &figures.functions, columns.functions, look)));
        TableRow::new(cells)
    });
    let mut widths = vec![columns.time, columns.subject, columns.entity];
    let mut names = vec![("UTC", false), ("EVENT", false), ("ENTITY", false)];
    if columns.latency > 0 {
        widths.push(columns.latency);
        names.push(("LATENCY", true));
    }
    widths.push(columns.functions);
    names.push((if columns.functions > 3 { "FUNCTIONS" } else { "" }, false));
    let widths = widths.into_iter().map(Constraint::Length);
    Table::new(rows.collect::<Vec<_>>(), widths).header(titles(&names)).column_spacing(1)
}

/// The time of day, with milliseconds if there is room for them.
fn clock(time: Timestamp, width: u16) -> String {
    let format = if width >= 12 { "%H:%M:%S%.3f" } else { "%H:%M:%S" };
    time.strftime(format).to_string()
}

/// The end of a dotted name, which tells more than its beginning, or the beginning of another text.
fn fit_name(text: &str, width: u16) -> String {
    let fits = Span::raw(text).width() <= usize::from(width);
    if fits || text.matches('.').count() < 2 {
        return fit(text, width);
    }
    let reversed: String = text.chars().rev().collect();
    fit(&reversed, width).chars().rev().collect()
}

/// Cut to a width.
fn fit(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if Span::raw(kept.as_str()).width() >= width {
            kept.pop();
            break;
        }
    }
    kept.push('…');
    kept
}

/// Who has the event, and who does not: a mark for each, with its name if there is room, and more if there is more.
fn marks(event: &Row, functions: &[Function], width: u16, look: Look) -> Line<'static> {
    let mut line = Line::default();
    for (progress, function) in event.progress.iter().zip(functions) {
        let (mark, note, style) = match progress {
            Progress::Unwanted => continue,
            Progress::Waiting => ("…", String::new(), DIM),
            Progress::Failed { status, .. } => ("✗", format!(" {status}"), look.bad()),
            Progress::Delivered { attempts: 1 } => ("✓", String::new(), look.good()),
            Progress::Delivered { attempts } => ("✓", format!(" {attempts} tries"), look.odd()),
        };
        line.push_span(Span::styled(mark, style));
        match width {
            40.. => {
                line.push_span(format!(" {}", function.name));
                line.push_span(Span::styled(note, style));
                line.push_span("  ");
            }
            17.. => line.push_span(format!("{} ", function.name.split('-').next().unwrap_or_default())),
            _ => {}
        }
    }
    line
}

fn log_lines(figures: &Figures, area: Rect, look: Look) -> Paragraph<'static> {
    let most = usize::from(area.height.saturating_sub(1));
    let lines = figures.log.iter().skip(figures.log.len().saturating_sub(most)).map(|line| {
        let style = match line.level {
            Level::ERROR => look.bad(),
            Level::WARN => look.odd(),
            _ => Style::new(),
        };
        let at = at(line.at).map(|time| clock(time, 8)).unwrap_or_default();
        let text = fit(&line.text, area.width.saturating_sub(9));
        Line::from(vec![Span::styled(at, DIM), Span::raw(" "), Span::styled(text, style)])
    });
    let title = std::iter::once(Line::styled("LOG", DIM));
    Paragraph::new(title.chain(lines).collect::<Vec<_>>())
}

fn at(time: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(time).ok()
}

/// What to try next.
fn where_next(figures: &Figures, area: Rect) -> Paragraph<'static> {
    let said = |title: &'static str, text: String| Line::from(vec![Span::styled(title, DIM), Span::raw(text)]);
    let mut lines = vec![Line::default()];
    if let Some(metrics) = figures.metrics {
        lines.push(said("LOOK  ", format!("curl http://{metrics}/stats    http://{metrics}/metrics")));
    }
    if area.height > 2 {
        lines.push(said("ASK   ", format!("govc events -u {} -k", figures.vcenter)));
        lines.push(said("YOURS ", "vmware-event-router check -config config.json    (README.md says how)".to_owned()));
    }
    Paragraph::new(lines)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn row(subject: &str, entity: &str, progress: [Progress; 3]) -> Row {
        Row {
            created: Some("2026-05-04T03:02:01.25Z".parse().unwrap()),
            subject: subject.to_owned(),
            entity: entity.to_owned(),
            latency: Some(Duration::from_micros(1_300)),
            progress: progress.to_vec(),
        }
    }

    fn figures() -> Figures {
        let function = |name, health, waiting| Function {
            name,
            delivered: 12_345,
            retried: 7,
            waiting,
            p50: Some(Duration::from_micros(1_200)),
            p99: None,
            health,
        };
        let line = |level, text: &str| logging::Line { at: SystemTime::UNIX_EPOCH, level, text: text.to_owned() };
        let (yes, no) = (Progress::Delivered { attempts: 1 }, Progress::Unwanted);
        Figures {
            elapsed: Duration::from_secs(75),
            stream: "streaming".to_owned(),
            streaming: true,
            rate: 4.96,
            journal: 0.123,
            resident: 9_800_000,
            functions: vec![
                function("audit-log", Health::Answers, 0),
                function("tag-vm", Health::CatchesUp, 3),
                function("page-oncall", Health::Away, 4),
            ],
            events: vec![
                row("VmPoweredOnEvent", "web-7", [yes, Progress::Delivered { attempts: 2 }, no]),
                row(
                    "com.vmware.vc.HA.DasHostIsolatedEvent",
                    "esx-04.lab.example",
                    [yes, no, Progress::Failed { attempts: 3, status: 503 }],
                ),
                row("VmBeingHotMigratedEvent", "größer", [Progress::Waiting, no, no]),
            ],
            log: vec![line(Level::INFO, "connected"), line(Level::WARN, "not answering: its events wait")],
            metrics: Some(([127, 0, 0, 1], 8080).into()),
            vcenter: "https://u:p@127.0.0.1:9/sdk".to_owned(),
            ..Figures::default()
        }
    }

    fn shown(width: u16, height: u16, figures: &Figures, colour: bool) -> (Vec<String>, bool) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, figures, Look { colour })).unwrap();
        let buffer = terminal.backend().buffer();
        let coloured = buffer.content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        let lines = buffer.content().chunks(usize::from(width).max(1));
        (lines.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>()).collect(), coloured)
    }

    #[test]
    fn a_usual_terminal_shows_everything() {
        let (lines, coloured) = shown(80, 24, &figures(), true);
        assert!(coloured);
        let expected = [
            "VMware Event Router: a demonstration                                 Ctrl-C ends",
            "● streaming   5.0 events/s   journal 12 %   memory 9.8 MB   1:15",
            "FUNCTION     DELIVERED  RETRIED  WAITING      P50      P99",
            "audit-log        12345        7        0   1.2 ms           answers",
            "tag-vm           12345        7        3   1.2 ms           catching up",
            "page-oncall      12345        7        4   1.2 ms           away, events wait",
            "",
            "UTC      EVENT                           ENTITY        LATENCY FUNCTIONS",
            "03:02:01 VmPoweredOnEvent                web-7          1.3 ms ✓audit ✓tag",
        ];
        for (at, expected) in expected.iter().enumerate() {
            assert_eq!(lines[at].trim_end(), *expected, "{lines:#?}");
        }
        assert!(lines[9].contains("…") && lines[9].contains("DasHostIsolatedEvent"), "{lines:#?}");
        assert!(lines[9].trim_end().ends_with("✓audit ✗page"), "{lines:#?}");
        assert!(lines[10].contains("größer") && lines[10].trim_end().ends_with("…audit"), "{lines:#?}");
        assert_eq!(lines[18].trim_end(), "00:00:00 not answering: its events wait");
        assert!(lines[21].starts_with("LOOK  curl http://127.0.0.1:8080/stats"), "{lines:#?}");
        assert!(lines[22].contains("https://u:p@127.0.0.1:9/sdk") && lines[23].contains("README.md"), "{lines:#?}");
    }

    #[test]
    fn a_large_one_says_more_and_a_small_one_less() {
        let (lines, _) = shown(140, 40, &figures(), true);
        let all = lines.join("\n");
        for part in ["journal 12 %", "03:02:01.250", "✓ tag-vm 2 tries", "✗ page-oncall 503", "away, events wait"] {
            assert!(all.contains(part), "{part} in {all}");
        }
        assert!(all.contains("com.vmware.vc.HA.DasHostIsolatedEvent"), "{all}");
        let (lines, _) = shown(40, 10, &figures(), true);
        let all = lines.join("\n");
        for part in ["● streaming", "page-oncall      12345        4  away", "VmPoweredOnEvent", "web-7", "✓✗"] {
            assert!(all.contains(part), "{part} in {all}");
        }
        assert!(!all.contains("LOOK") && !all.contains("P50"), "{all}");
    }

    #[test]
    fn no_size_is_too_small_and_none_is_needed_to_begin() {
        for (width, height) in [(1, 1), (7, 3), (20, 200), (300, 2), (0, 0)] {
            for figures in [&figures(), &Figures::default()] {
                let (lines, coloured) = shown(width, height, figures, false);
                assert!(!coloured && lines.len() <= usize::from(height));
            }
        }
    }

    #[test]
    fn who_ends_it_sees_that_it_ends() {
        let (lines, _) = shown(80, 24, &Figures { ending: true, ..figures() }, false);
        assert!(lines[0].contains("ending"), "{}", lines[0]);
    }

    #[test]
    fn what_does_not_fit_is_cut_where_it_tells_least() {
        assert_eq!(fit("VmPoweredOnEvent", 16), "VmPoweredOnEvent");
        assert_eq!(fit("VmPoweredOnEvent", 8), "VmPower…");
        assert_eq!(fit("com.vmware.vc.HA.Event", 10), "com.vmwar…");
        assert_eq!(fit_name("com.vmware.vc.HA.Event", 10), "….HA.Event");
        assert_eq!(fit_name("VmPoweredOnEvent", 8), "VmPower…");
        assert_eq!(fit("größer als", 4), "grö…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("x", 0), "…");
    }
}
