//! What no client should send: broken bytes, messages out of order, actions out of range.

use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

use super::*;

/// Sends raw bytes in place of the fields of a request; the status of the stream.
async fn sent_raw(server: &Running, bytes: Vec<u8>) -> Status {
    let channel =
        Channel::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/vpt.envserver.v1.EnvService/Play");
    // A byte string is field 1 of its message, which is where `open` would be.
    let codec = ProstCodec::<Vec<u8>, PlayResponse>::default();
    let (sender, requests) = mpsc::channel(2);
    let request = tonic::Request::new(ReceiverStream::new(requests));
    let mut replies = grpc.streaming(request, path, codec).await.unwrap().into_inner();
    sender.send(bytes).await.unwrap();
    within("a reply", SOON, replies.message()).await.unwrap().unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_bytes_end_their_own_stream_only() {
    let server = Running::start(EnvserverConfig::default());
    let mut bystander = server.play().await.unwrap();
    bystander.open(OpenSession { max_episode_steps: 9, ..open("native") }).await.unwrap();
    bystander.observation().await.unwrap();
    let noise: Vec<u8> = (0..200_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for bytes in [vec![0xff; 12], noise, vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
        let status = sent_raw(&server, bytes).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains("not one of this protocol"), "{status:?}");
        assert!(bystander.act(HumanAction::default()).await.is_ok());
    }
    let mut next = server.play().await.unwrap();
    next.open(open("native")).await.unwrap();
    assert!(next.observation().await.unwrap().is_first);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_out_of_order_are_refused() {
    let server = Running::start(EnvserverConfig::default());
    let mut twice = server.play().await.unwrap();
    twice.open(open("native")).await.unwrap();
    twice.observation().await.unwrap();
    twice.send(play_request::Kind::Open(open("native"))).await;
    let status = twice.reply().await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("only once"), "{status:?}");
    let mut empty = server.play().await.unwrap();
    empty.sender.send(PlayRequest { kind: None }).await.unwrap();
    let status = empty.reply().await.unwrap_err();
    assert!(
        status.code() == Code::InvalidArgument && status.message().contains("without content"),
        "{status:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_world_takes_any_finite_action_and_refuses_the_rest() {
    let server = Running::start(EnvserverConfig::default());
    let mut stream = server.play().await.unwrap();
    stream.open(OpenSession { max_episode_steps: 100, ..open("native") }).await.unwrap();
    stream.observation().await.unwrap();
    let all = vpt_proto::keys::ALL;
    for (keys, pitch_delta, yaw_delta) in [
        (all, 0.0, 0.0),
        (0, f32::MAX, f32::MIN),
        (all & !vpt_proto::keys::INVENTORY, -1e30, 1e30),
        (all, f32::MIN_POSITIVE, -f32::MIN_POSITIVE),
        (0, -0.0, 181.0),
    ] {
        let action = HumanAction { keys, pitch_delta, yaw_delta };
        let observation = stream.act(action).await.unwrap();
        assert_eq!(observation.frame.len(), 8 * 8 * 3);
    }
    for bit in (0..32).map(|bit| 1_u32 << bit).filter(|bit| bit & all == 0) {
        let mut stream = server.play().await.unwrap();
        stream.open(open("native")).await.unwrap();
        stream.observation().await.unwrap();
        let status = stream.act(HumanAction { keys: bit, ..HumanAction::default() }).await.unwrap_err();
        assert!(
            status.code() == Code::InvalidArgument && status.message().contains("key bits"),
            "{status:?}"
        );
    }
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for action in [
            HumanAction { pitch_delta: odd, ..HumanAction::default() },
            HumanAction { yaw_delta: odd, ..HumanAction::default() },
        ] {
            let mut stream = server.play().await.unwrap();
            stream.open(open("native")).await.unwrap();
            stream.observation().await.unwrap();
            let status = stream.act(action).await.unwrap_err();
            assert!(
                status.code() == Code::InvalidArgument && status.message().contains("finite"),
                "{status:?}"
            );
        }
    }
    let text = server.metrics().await;
    assert!(text.contains("vpt_envserver_session_faults_total{reason=\"bad_action\"}"), "{text}");
    server.stop().await;
}
