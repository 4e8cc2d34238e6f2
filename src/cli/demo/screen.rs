//! The terminal: taken, given back on every way out, and listened to.

use std::io::{self, Stdout, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, terminal};
use tokio::sync::mpsc;

use super::view::{self, Figures, Look};

/// How long the listener waits for a key before it looks whether anybody still wants to know.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whether the terminal is ours at present.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, while it shows the demo. Dropping it gives the terminal back.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    look: Look,
}

impl Screen {
    /// Takes the terminal. A panic gives it back before it is told.
    pub(super) fn take() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
        TAKEN.store(true, Ordering::SeqCst);
        let taken = enable_raw_mode().and_then(|()| {
            execute!(stdout(), EnterAlternateScreen, terminal::Clear(terminal::ClearType::All), cursor::Hide)?;
            Terminal::new(CrosstermBackend::new(stdout()))
        });
        match taken {
            Ok(terminal) => Ok(Self { terminal, look: Look::of_environment() }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Shows the figures, in the size that the terminal has now.
    pub(super) fn draw(&mut self, figures: &Figures) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(frame, figures, self.look))?;
        Ok(())
    }

    /// How many events there is room for at most.
    pub(super) fn height(&self) -> usize {
        self.terminal.size().map_or(24, |size| usize::from(size.height))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Makes the terminal what it was, if it is ours. Once is enough; more does no harm.
pub(super) fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Nobody is left to be told of a terminal that went away.
        drop(execute!(stdout(), LeaveAlternateScreen, cursor::Show));
        drop(disable_raw_mode());
    }
}

/// What somebody did at the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A key that ends the demo.
    End,
    /// The terminal has another size.
    Resized,
}

/// Listens to the keyboard, in a thread of its own since a terminal cannot be awaited.
pub(super) fn listen() -> io::Result<mpsc::Receiver<Input>> {
    let (told, input) = mpsc::channel(8);
    std::thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
        while !told.is_closed() {
            // A terminal that went away ends the process by its signal.
            let Ok(ready) = event::poll(PATIENCE) else { return };
            let input = match ready.then(event::read) {
                Some(Ok(event)) => meaning(&event),
                Some(Err(_)) => return,
                None => None,
            };
            if input.is_some_and(|input| told.blocking_send(input).is_err()) {
                return;
            }
        }
    })?;
    Ok(input)
}

/// In raw mode, Ctrl-C is a key like any other.
fn meaning(event: &Event) -> Option<Input> {
    match event {
        Event::Resize(..) => Some(Input::Resized),
        Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) => match code {
            KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Some(Input::End),
            KeyCode::Char('q') | KeyCode::Esc => Some(Input::End),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_keys_end_it() {
        let key = |code, modifiers| meaning(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::End));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Input::End));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Input::Resized));
    }
}
