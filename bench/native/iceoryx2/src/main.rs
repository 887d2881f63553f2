//! One end of iceoryx2 for bench/rivals.ts, set up as in its own benchmarks and its example "event based communication".
//!
//!     PREFIX DIRECTORY receive HOW COUNT                         the reader, to the frame with the number 0
//!     PREFIX DIRECTORY publish HOW WARMUP COUNT INTERVAL_US SIZE one frame after each pause
//!     PREFIX DIRECTORY batches HOW BATCHES BATCH SIZE            one frame after another
//!
//! HOW is `waitset`, `listener` or `spin`; for `batches` also `none`: there is no reader. A reader writes a line when a
//! publisher may start, receives nothing where COUNT is 0, and stays connected until its standard input ends. Results
//! are one line of JSON. PREFIX begins the name of every shared memory, DIRECTORY has every file.

use core::error::Error;
use core::time::Duration;
use std::env;
use std::io::{Read, Write, stdin, stdout};
use std::thread::sleep;

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::sample::Sample;
use nix::time::{ClockId, clock_gettime};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What goes with a picture.
#[derive(Debug, Default, Clone, Copy, ZeroCopySend)]
#[repr(C)]
struct Stamp {
    /// Nanoseconds of CLOCK_MONOTONIC, just before it was sent.
    sent_ns: u64,
    /// How many follow.
    remaining: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    WaitSet,
    Listener,
    Spin,
    None,
}

struct Arguments(env::Args);

impl Arguments {
    fn text(&mut self) -> Outcome<String> {
        self.0.next().ok_or("an argument is missing".into())
    }

    fn number(&mut self) -> Outcome<usize> {
        Ok(self.text()?.parse()?)
    }

    fn how(&mut self) -> Outcome<How> {
        match self.text()?.as_str() {
            "waitset" => Ok(How::WaitSet),
            "listener" => Ok(How::Listener),
            "spin" => Ok(How::Spin),
            "none" => Ok(How::None),
            other => Err(format!("{other}: there is no such way to wait").into()),
        }
    }
}

fn main() -> Outcome<()> {
    set_log_level(LogLevel::Error);
    let mut arguments = Arguments(env::args());
    arguments.text()?;
    let mut config = Config::default();
    config.global.prefix = FileName::new(arguments.text()?.as_bytes())?;
    config
        .global
        .set_root_path(&Path::new(arguments.text()?.as_bytes())?);
    let node = NodeBuilder::new()
        .config(&config)
        .create::<ipc::Service>()?;
    match arguments.text()?.as_str() {
        "receive" => receive(&node, arguments.how()?, arguments.number()?),
        "publish" => publish(&node, &mut arguments),
        "batches" => batches(&node, &mut arguments),
        other => Err(format!("{other}: there is no such end").into()),
    }
}

/// As in iceoryx2's benchmark of publish-subscribe: one picture waits at most, and a newer one takes its place.
macro_rules! pictures {
    ($node:expr) => {
        $node
            .service_builder(&"pictures".try_into()?)
            .publish_subscribe::<[u8]>()
            .user_header::<Stamp>()
            .max_publishers(1)
            .max_subscribers(1)
            .history_size(0)
            .subscriber_max_buffer_size(1)
            .enable_safe_overflow(true)
            .open_or_create()?
    };
}

/// The event service that goes with the pictures; a reader that polls needs none.
macro_rules! events {
    ($node:expr) => {
        $node
            .service_builder(&"pictures".try_into()?)
            .event()
            .max_notifiers(1)
            .max_listeners(1)
            .open_or_create()?
    };
}

// The reader.

/// The latencies of the last so many frames.
struct Latencies {
    count: usize,
    ns: Vec<u64>,
    done: bool,
}

impl Latencies {
    fn take(&mut self, sample: Sample<ipc::Service, [u8], Stamp>) {
        let now = monotonic_ns();
        let Stamp { sent_ns, remaining } = *sample.user_header();
        if remaining < self.count as u64 {
            self.ns.push(now - sent_ns);
        }
        self.done = remaining == 0;
    }
}

fn receive(node: &Node<ipc::Service>, how: How, count: usize) -> Outcome<()> {
    let subscriber = pictures!(node).subscriber_builder().create()?;
    let listener = match how {
        How::WaitSet | How::Listener => Some(events!(node).listener_builder().create()?),
        How::Spin | How::None => None,
    };
    let mut latencies = Latencies {
        count,
        ns: Vec::with_capacity(count),
        done: false,
    };
    write_line(r#"{"ready":true}"#)?;
    if count > 0 {
        match (how, &listener) {
            (How::WaitSet, Some(listener)) => with_wait_set(&subscriber, listener, &mut latencies)?,
            (_, Some(listener)) => with_listener(&subscriber, listener, &mut latencies)?,
            (_, None) => spinning(&subscriber, &mut latencies)?,
        }
        write_line(&format!(r#"{{"latencyNs":{:?}}}"#, latencies.ns))?;
    }
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

type Pictures = Subscriber<ipc::Service, [u8], Stamp>;

fn with_wait_set(
    subscriber: &Pictures,
    listener: &Listener<ipc::Service>,
    latencies: &mut Latencies,
) -> Outcome<()> {
    let wait_set = WaitSetBuilder::new().create::<ipc::Service>()?;
    let guard = wait_set.attach_notification(listener)?;
    let mut outcome = Ok(());
    wait_set.wait_and_process(|attachment| {
        if attachment.has_event_from(&guard) {
            outcome = drain(subscriber, listener, latencies);
        }
        if outcome.is_err() || latencies.done {
            CallbackProgression::Stop
        } else {
            CallbackProgression::Continue
        }
    })?;
    outcome
}

fn drain(
    subscriber: &Pictures,
    listener: &Listener<ipc::Service>,
    latencies: &mut Latencies,
) -> Outcome<()> {
    listener.try_wait(|_| {})?;
    while let Some(sample) = subscriber.receive()? {
        latencies.take(sample);
    }
    Ok(())
}

fn with_listener(
    subscriber: &Pictures,
    listener: &Listener<ipc::Service>,
    latencies: &mut Latencies,
) -> Outcome<()> {
    while !latencies.done {
        listener.blocking_wait(|_| {})?;
        while let Some(sample) = subscriber.receive()? {
            latencies.take(sample);
        }
    }
    Ok(())
}

fn spinning(subscriber: &Pictures, latencies: &mut Latencies) -> Outcome<()> {
    while !latencies.done {
        if let Some(sample) = subscriber.receive()? {
            latencies.take(sample);
        }
    }
    Ok(())
}

// The publisher.

struct Sender {
    publisher: Publisher<ipc::Service, [u8], Stamp>,
    notifier: Option<Notifier<ipc::Service>>,
    size: usize,
    readers: usize,
}

impl Sender {
    fn new(node: &Node<ipc::Service>, how: How, size: usize) -> Outcome<Self> {
        let publisher = pictures!(node)
            .publisher_builder()
            .initial_max_slice_len(size)
            .create()?;
        let notifier = match how {
            How::WaitSet | How::Listener => Some(events!(node).notifier_builder().create()?),
            How::Spin | How::None => None,
        };
        Ok(Self {
            publisher,
            notifier,
            size,
            readers: (how != How::None) as usize,
        })
    }

    /// Sends a picture that nobody has written.
    fn send(&self, remaining: usize) -> Outcome<()> {
        let mut sample = self.publisher.loan_slice_uninit(self.size)?;
        *sample.user_header_mut() = Stamp {
            sent_ns: monotonic_ns(),
            remaining: remaining as u64,
        };
        // SAFETY: any byte is a u8; it is mapped memory, which nobody reads.
        let reached = unsafe { sample.assume_init() }.send()?;
        if reached != self.readers {
            return Err(format!(
                "a picture reached {reached} readers in place of {}",
                self.readers
            )
            .into());
        }
        if let Some(notifier) = &self.notifier {
            let notified = notifier.notify()?;
            if notified != self.readers {
                return Err(format!(
                    "{notified} listeners in place of {} were notified",
                    self.readers
                )
                .into());
            }
        }
        Ok(())
    }
}

fn publish(node: &Node<ipc::Service>, arguments: &mut Arguments) -> Outcome<()> {
    let (how, warmup, count) = (arguments.how()?, arguments.number()?, arguments.number()?);
    let interval = Duration::from_micros(arguments.number()? as u64);
    let sender = Sender::new(node, how, arguments.number()?)?;
    let mut call_ns = Vec::with_capacity(count);
    for remaining in (0..warmup + count).rev() {
        sleep(interval);
        let before = monotonic_ns();
        sender.send(remaining)?;
        if remaining < count {
            call_ns.push(monotonic_ns() - before);
        }
    }
    write_line(&format!(r#"{{"callNs":{call_ns:?}}}"#))
}

fn batches(node: &Node<ipc::Service>, arguments: &mut Arguments) -> Outcome<()> {
    let (how, batches, batch) = (arguments.how()?, arguments.number()?, arguments.number()?);
    let sender = Sender::new(node, how, arguments.number()?)?;
    let mut call_ns = Vec::with_capacity(batches);
    // The first one only warms up.
    for index in 0..=batches {
        let before = monotonic_ns();
        for remaining in 0..batch {
            sender.send(remaining)?;
        }
        let each = (monotonic_ns() - before) as f64 / batch as f64;
        if index > 0 {
            call_ns.push(each);
        }
    }
    write_line(&format!(r#"{{"callNs":{call_ns:?}}}"#))
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has CLOCK_MONOTONIC");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

fn write_line(line: &str) -> Outcome<()> {
    let mut output = stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()?;
    Ok(())
}
