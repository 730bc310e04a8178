//! An answer is computed from one snapshot, whatever is published meanwhile.

use std::{
    cell::Cell,
    collections::HashSet,
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::rt::{spawn, time::sleep};
use futures_util::future::join_all;
use offleash::snapshot::channel;
use serde_json::{Value, json};

use crate::server::{FRONTEND, TestServer, config, grants, plan};

pub(crate) const FLAGS: usize = 50;
const CONNECTIONS: usize = 6;
const LASTS: Duration = Duration::from_secs(2);

/// Flags that all have one variant, named after the payload.
pub(crate) fn payload(side: &str) -> Value {
    let flags = (0..FLAGS).map(|index| {
        json!({
            "name": format!("flag-{index:02}"), "type": "release", "enabled": true,
            "project": "default",
            "strategies": [{"name": "default", "constraints": [], "parameters": {}}],
            "variants": [{"name": side, "weight": 1000, "weightType": "fix",
                "payload": {"type": "string", "value": side}, "stickiness": "default"}],
        })
    });
    json!({"version": 2, "features": flags.collect::<Vec<_>>()})
}

#[actix_web::test]
async fn every_answer_is_wholly_of_one_payload() {
    let mut server = TestServer::start(config(), None);
    let (left, right) = (plan(&payload("left")), plan(&payload("right")));
    server.publisher.publish(grants(&left).collect(), true);
    let (unused, _) = channel();
    let mut publisher = std::mem::replace(&mut server.publisher, unused);
    let ends = Instant::now() + LASTS;
    let published = Rc::new(Cell::new(0));
    let count = Rc::clone(&published);
    let swaps = spawn(async move {
        for side in [&right, &left].into_iter().cycle() {
            if Instant::now() > ends {
                break;
            }
            publisher.publish(grants(side).collect(), true);
            count.set(count.get() + 1);
            sleep(Duration::from_millis(10)).await;
        }
    });

    let asks = (0..CONNECTIONS).map(|number| {
        let server = &server;
        async move {
            let path = if number % 2 == 0 { "/proxy" } else { "/api/frontend" };
            let mut seen = HashSet::new();
            while Instant::now() < ends {
                let reply = server.get(path).token(FRONTEND).send().await;
                assert_eq!(reply.toggles().len(), FLAGS);
                let (left, right) = (
                    reply.body.matches("\"left\"").count(),
                    reply.body.matches("\"right\"").count(),
                );
                // The variant's name and its payload's value.
                let expected = [(2 * FLAGS, 0), (0, 2 * FLAGS)];
                assert!(expected.contains(&(left, right)), "torn: {left} left, {right} right");
                let tag = reply.header("etag").unwrap().to_owned();
                seen.insert((tag, left));
            }
            seen
        }
    });
    for seen in join_all(asks).await {
        assert_eq!(seen.len(), 2, "two payloads, each under its own tag: {seen:?}");
    }
    swaps.await.unwrap();
    assert!(published.get() > 50, "{} swaps only", published.get());
}
