//! Ranks exchange what they should, notice who is missing, lost, late or out of step, and train as one.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use candle_core::{Device, Tensor};
use tokio_util::sync::CancellationToken;

use super::rendezvous::Meeting;
use super::testing::{connected, ranks};
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
/// For ranks that are to be found too late.
const SHORT: Duration = Duration::from_secs(1);

#[test]
fn sums_are_the_same_bits_on_every_rank() {
    for count in [2, 3, 4] {
        let results = ranks(count, |ranks| {
            let mut numbers: Vec<f64> = (0..5).map(|i| 0.1 * f64::from(i) + ranks.rank() as f64).collect();
            ranks.sum("numbers", &mut numbers).unwrap();
            // More than one chunk, and not a whole number of them.
            let gradients: Vec<f32> =
                (0..300_001).map(|i| (i as f32).sin() * (ranks.rank() + 1) as f32).collect();
            let gradients = Tensor::from_vec(gradients, 300_001, &Device::Cpu).unwrap();
            let sums = ranks.exchange(|c| c.sum_gradients(7, &gradients)).unwrap().unwrap();
            (numbers, sums.to_vec1::<f32>().unwrap())
        });
        let of_ranks = (count * (count - 1) / 2) as f64;
        assert!((results[0].0[4] - (0.4 * count as f64 + of_ranks)).abs() < 1e-12);
        let factor = (count * (count + 1) / 2) as f32;
        assert!((results[0].1[299_999] - 299_999f32.sin() * factor).abs() < 1e-4);
        for (numbers, sums) in &results {
            assert_eq!(numbers, &results[0].0);
            assert!(sums.iter().zip(&results[0].1).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}

#[test]
fn bytes_come_to_rank_0_and_from_it() {
    let results = ranks(3, |ranks| {
        let gathered = ranks.gather("bytes", vec![ranks.rank() as u8; ranks.rank()]).unwrap();
        let sent = ranks.broadcast(vec![9; 2_000_000 * usize::from(ranks.is_first())]).unwrap();
        (
            gathered,
            sent.len(),
            ranks.any("x", ranks.rank() == 2).unwrap(),
            ranks.all("x", ranks.rank() < 2).unwrap(),
        )
    });
    assert_eq!(results[0].0, [vec![], vec![1], vec![2, 2]]);
    assert!(results[1].0.is_empty());
    assert!(results.iter().all(|(_, length, any, all)| (*length, *any, *all) == (2_000_000, true, false)));
    assert_eq!(Ranks::alone().gather("bytes", vec![4]).unwrap(), [[4]]);
    assert_eq!(Ranks::alone().total("x", 2.5).unwrap(), 2.5);
}

#[test]
fn a_rank_that_dies_is_named_to_all() {
    let errors = ranks(3, |ranks| {
        ranks.total("x", 1.0).unwrap();
        (ranks.rank() != 1).then(|| ranks.total("x", 1.0).unwrap_err().to_string())
    });
    let errors: Vec<String> = errors.into_iter().flatten().collect();
    for error in &errors {
        assert!(error.contains("rank 1 at 127.0.0.1:") && error.contains("closed the connection"), "{error}");
    }
    assert_eq!(errors.len(), 2);
    assert!(errors[1].contains("rank 0 at 127.0.0.1:"), "{}", errors[1]);
}

#[test]
fn the_death_of_rank_0_is_named() {
    let errors =
        ranks(2, |ranks| (!ranks.is_first()).then(|| ranks.total("x", 1.0).unwrap_err().to_string()));
    let error = errors[1].clone().unwrap();
    assert!(error.starts_with("rank 0 at 127.0.0.1:"), "{error}");
}

#[test]
fn a_rank_that_is_late_is_named_to_all() {
    let (sender, receiver) = crossbeam_channel::bounded::<()>(2);
    let errors = connected(3, SHORT, |rank, tcp| {
        let mut tcp = tcp.unwrap();
        if rank == 2 {
            // Until the others have given up.
            receiver.recv_timeout(PATIENCE).unwrap();
            receiver.recv_timeout(PATIENCE).unwrap();
            return String::new();
        }
        let error = tcp.sum_numbers(0, &mut [1.0]).unwrap_err().to_string();
        sender.send(()).unwrap();
        error
    });
    for error in &errors[..2] {
        assert!(error.contains("rank 2 at 127.0.0.1:") && error.contains("did nothing for 1 s"), "{error}");
    }
}

#[test]
fn other_shapes_are_refused_on_every_rank() {
    let flat = |count: usize| Tensor::zeros(count, candle_core::DType::F32, &Device::Cpu).unwrap();
    let lengths = ranks(2, |ranks| {
        let gradients = flat(4 + ranks.rank());
        ranks.exchange(|c| c.sum_gradients(1, &gradients)).unwrap_err().to_string()
    });
    assert!(lengths[0].contains("rank 1 at 127.0.0.1:") && lengths[0].contains("20 bytes"), "{}", lengths[0]);
    assert!(lengths[0].contains("16 bytes") && lengths[0].contains("same config"), "{}", lengths[0]);
    assert!(lengths[1].contains("rank 1 at"), "told by rank 0: {}", lengths[1]);
    let layouts = ranks(2, |ranks| {
        ranks.exchange(|c| c.sum_gradients(ranks.rank() as u64, &flat(4))).unwrap_err().to_string()
    });
    assert!(layouts[0].contains("layout 00000001"), "{}", layouts[0]);
    let meanings = ranks(2, |ranks| {
        let what = if ranks.is_first() { "losses" } else { "validation" };
        ranks.total(what, 1.0).unwrap_err().to_string()
    });
    assert!(meanings[0].contains("out of step"), "{}", meanings[0]);
    let kinds = ranks(2, |ranks| match ranks.is_first() {
        true => ranks.total("x", 1.0).unwrap_err().to_string(),
        false => ranks.exchange(|c| c.sum_gradients(0, &flat(2))).unwrap_err().to_string(),
    });
    assert!(kinds[0].contains("Gradients") && kinds[0].contains("Numbers"), "{}", kinds[0]);
}

#[test]
fn weights_that_drifted_apart_are_noticed() {
    let config = crate::synthetic::tiny();
    let errors = ranks(3, |ranks| {
        let parameters = |seed| Parameters::init(&config, seed, &Device::Cpu).unwrap();
        ranks.check_same(&parameters(1), 0).unwrap();
        ranks.check_same(&parameters(1 + ranks.rank() as u64 / 2), 5).unwrap_err().to_string()
    });
    for error in errors {
        assert_eq!(error, "the weights of rank 2 differ from those of rank 0 after 5 optimiser steps");
    }
}

fn meeting<'a>(rank: usize, address: &'a str, shutdown: &'a CancellationToken) -> Meeting<'a> {
    Meeting { rank, count: 2, address, patience: SHORT, digest: "a", serves: "", shutdown }
}

#[test]
fn who_does_not_come_is_listed() {
    let shutdown = CancellationToken::new();
    let error = meeting(0, "127.0.0.1:0", &shutdown).join().unwrap_err().to_string();
    assert!(error.contains("[1]") && error.contains("learner.ranks.rank"), "{error}");
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = meeting(1, &unused, &shutdown).join().unwrap_err().to_string();
    assert!(error.contains(&unused) && error.contains("cannot be reached"), "{error}");
    shutdown.cancel();
    let stopped = meeting(0, "127.0.0.1:0", &shutdown).join();
    assert!(matches!(stopped, Err(RanksError::Stopped)));
}

#[test]
fn strangers_and_misfits_do_not_disturb_the_meeting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let shutdown = CancellationToken::new();
    let first = Meeting { patience: PATIENCE, ..meeting(0, &address, &shutdown) };
    std::thread::scope(|scope| {
        let all = scope.spawn(|| first.receive(&listener).map(drop));
        std::net::TcpStream::connect(&address)
            .unwrap()
            .write_all(b"GET / HTTP/1.1\r\nHost: vpt\r\n\r\n\r\n")
            .unwrap();
        let misfits = [
            (Meeting { digest: "b", ..meeting(1, &address, &shutdown) }, "same run file"),
            (Meeting { count: 3, ..meeting(1, &address, &shutdown) }, "no place for rank 1 of 3"),
            (Meeting { ..meeting(5, &address, &shutdown) }, "no place for rank 5"),
        ];
        for (misfit, reason) in misfits {
            let error = misfit.join().map(drop).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&address), "{error}");
        }
        let second = Meeting { patience: PATIENCE, ..meeting(1, &address, &shutdown) }.join().unwrap();
        all.join().unwrap().unwrap();
        assert_eq!(second.serves(), ["", ""]);
    });
}
