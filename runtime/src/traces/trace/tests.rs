//! Laps, spans inside them, and the way out.

use super::*;

fn outbox(room: usize) -> (Outbox, mpsc::Receiver<Finished>) {
    let (sender, inbox) = mpsc::channel(room);
    (Outbox::new(sender), inbox)
}

fn begin(outbox: &Outbox) -> Trace {
    Trace::begin("unroll", 7, None, (Instant::now(), outbox.clone()))
}

#[test]
fn laps_follow_each_other_and_go_out_with_the_last_handle() {
    let (outbox, mut inbox) = outbox(4);
    let trace = begin(&outbox);
    trace.lap("first");
    let inner = SpanId(42);
    let (from, to) = (Instant::now(), Instant::now());
    trace.add(Span::new("inside", from, to).within(inner).with("vpt.slot", 3u64));
    trace.lap_around(inner, "second", Instant::now());
    trace.note("vpt.actor_id", "actor");
    let other = trace.clone();
    trace.good();
    drop(trace);
    assert!(inbox.try_recv().is_err(), "somebody still has it");
    drop(other);
    let finished = inbox.try_recv().expect("it went out");
    assert_eq!((finished.name, finished.context.trace, finished.end), ("unroll", 7, End::Good));
    assert_eq!(finished.notes, [("vpt.actor_id", Value::Text("actor".to_owned()))]);
    let [first, inside, second] = &finished.spans[..] else { panic!("{finished:?}") };
    assert_eq!((first.name, inside.name, second.name), ("first", "inside", "second"));
    assert_eq!((first.from, first.to, second.to), (finished.began, second.from, finished.ended));
    assert_eq!((inside.within, second.id, first.within), (Some(inner), inner, None));
    assert!(second.from <= inside.from && inside.to <= second.to);
    let times = [first.from, first.to, inside.to, second.to].map(|moment| finished.unix_nanos(moment));
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_moment_before_the_calendar_was_read_lies_before_it() {
    let (outbox, mut inbox) = outbox(1);
    let earlier = Instant::now();
    std::thread::sleep(Duration::from_millis(2));
    drop(Trace::begin("learn", 7, Some(9), (earlier, outbox)));
    let finished = inbox.try_recv().expect("it went out");
    let (then, calendar) = finished.calendar;
    assert_eq!(u128::from(finished.unix_nanos(then)), calendar.as_nanos());
    assert_eq!(u128::from(finished.unix_nanos(earlier)), (calendar - (then - earlier)).as_nanos());
    assert_eq!((finished.parent, finished.end), (Some(9), End::Lost("dropped")));
}

#[test]
fn neither_a_lap_that_ended_in_the_past_nor_a_full_queue_nor_a_closed_one_does_harm() {
    let (outbox, mut inbox) = outbox(1);
    let trace = begin(&outbox);
    trace.lap("first");
    trace.lap_around(SpanId(1), "second", Instant::now() - Duration::from_secs(9));
    trace.lost("stale");
    drop(trace);
    drop(begin(&outbox));
    let finished = inbox.try_recv().expect("the first one fitted");
    assert_eq!(finished.end, End::Lost("stale"));
    assert_eq!(finished.spans[1].from, finished.spans[1].to);
    assert!(inbox.try_recv().is_err(), "the second one did not");
    drop(inbox);
    drop(begin(&outbox));
}

#[test]
fn one_unroll_has_a_bounded_number_of_spans() {
    let (outbox, mut inbox) = outbox(1);
    let trace = begin(&outbox);
    (0..MAX_SPANS + 5).for_each(|_| trace.lap("send"));
    drop(trace);
    assert_eq!(inbox.try_recv().expect("it went out").len() as usize, MAX_SPANS + 1);
}
