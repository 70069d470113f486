#![allow(missing_docs)]
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use understudy_common::{
    config::*, control, document::DocumentKey, effect::*, kafka::*, process::now_ms, record::*, topics::Topics,
    version::PackedVersion,
};

fn provenance(ticket_age: i64, request: &str) -> Provenance {
    Provenance {
        request: request.into(),
        ticket_ms: now_ms() - ticket_age,
        answered_ms: now_ms(),
        epoch: 1,
        gateway: "throwaway".into(),
    }
}
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let config = Config::load(std::path::Path::new(&args[0]))?;
    let topics = Topics::new(&config.kafka.topic_prefix);
    ensure_topics(&config.kafka, &topics.specs(&config.kafka, &["backup".to_owned()])).await?;
    let publisher = Publisher::new(&config.kafka, "throwaway", Duration::from_secs(20))?;
    let t = Duration::from_secs(20);
    let a: Vec<&str> = args[1..].iter().map(String::as_str).collect();
    match a[..] {
        ["control", uuid] => {
            let value = serde_json::to_vec(&control::ClusterRecord { cluster_uuid: uuid.into() })?;
            publisher.append(&topics.control(), 0, &control::key::cluster("primary"), Some(&value), &[], t).await?;
        }
        ["schema", index, uuid, mapping, mappings, shards] => {
            let value = format!(
                r#"{{"format":1,"cluster":"primary","epoch":1,"index":"{index}","uuid":"{uuid}","metadata_version":{mapping},"mapping_version":{mapping},"settings_version":1,"aliases_version":1,"routing_num_shards":1024,"settings":{{"index.number_of_shards":"{shards}","index.number_of_replicas":"0","index.uuid":"{uuid}","index.version.created":"7100299","index.creation_date":"1","index.provided_name":"{index}"}},"mappings":{mappings},"aliases":{{}}}}"#
            );
            publisher.append(&topics.schema(), 0, &format!("{index}/{uuid}"), Some(value.as_bytes()), &[], t).await?;
        }
        ["put", index, uuid, mapping, id, seq, source, age] => {
            let state = if source == "-" {
                DocumentState::Deleted
            } else {
                DocumentState::Put(Bytes::copy_from_slice(source.as_bytes()))
            };
            let effects = [Effect {
                key: DocumentKey { index: index.into(), id: id.into(), routing: None },
                version: PackedVersion::pack(1, 1, seq.parse()?)?,
                state,
            }];
            let needs =
                BTreeMap::from([(Arc::from(index), IndexNeed { uuid: uuid.into(), mapping: mapping.parse()? })]);
            for record in encode(
                &provenance(age.parse()?, &format!("put-{id}-{seq}")),
                &needs,
                &effects,
                config.kafka.partitions,
                1 << 20,
            ) {
                let headers: Vec<(&str, String)> = record.headers.clone();
                println!(
                    "{:?}",
                    publisher
                        .append(
                            &topics.target("backup"),
                            record.partition,
                            &record.key,
                            Some(&record.value),
                            &headers,
                            t
                        )
                        .await?
                );
            }
        }
        ["raw", partition, value, format] => {
            let headers = if format == "-" { vec![] } else { vec![("understudy-format", format.to_owned())] };
            println!(
                "{:?}",
                publisher
                    .append(&topics.target("backup"), partition.parse()?, "k", Some(value.as_bytes()), &headers, t)
                    .await?
            );
        }
        // random puts and deletes; within a window of a few records the log order is shuffled
        ["load", index, uuid, mapping, count, docs, seed, out, first] => {
            let (count, docs, mut x): (u64, u64, u64) = (count.parse()?, docs.parse()?, seed.parse()?);
            let first: u64 = first.parse()?;
            let mut rnd = move || {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x
            };
            let needs =
                BTreeMap::from([(Arc::from(index), IndexNeed { uuid: uuid.into(), mapping: mapping.parse()? })]);
            let mut last: HashMap<String, Option<String>> =
                std::fs::read(out).ok().map(|b| serde_json::from_slice(&b).unwrap()).unwrap_or_default();
            let mut effects = Vec::new();
            for n in 0..count {
                let id = format!("d{}", rnd() % docs);
                let source = (rnd() % 4 != 0).then(|| {
                    format!("{{\"n\":{n},\"text\":\"document {id} {}\"}}", "x".repeat((rnd() % 200) as usize))
                });
                last.insert(id.clone(), source.clone());
                let state = source.map_or(DocumentState::Deleted, |s| DocumentState::Put(s.into()));
                effects.push(Effect {
                    key: DocumentKey { index: index.into(), id: id.into(), routing: None },
                    version: PackedVersion::pack(1, 1, first + n)?,
                    state,
                });
            }
            for chunk in effects.chunks_mut(400) {
                for i in (1..chunk.len()).rev() {
                    let j = (rnd() % (i as u64 + 1)) as usize;
                    chunk.swap(i, j);
                }
            }
            let mut pending = Vec::new();
            for (n, chunk) in effects.chunks(100).enumerate() {
                for record in
                    encode(&provenance(5, &format!("load-{n}")), &needs, chunk, config.kafka.partitions, 1 << 20)
                {
                    let (publisher, topic) = (publisher.clone(), topics.target("backup"));
                    pending.push(tokio::spawn(async move {
                        publisher
                            .append(
                                &topic,
                                record.partition,
                                &record.key,
                                Some(&record.value),
                                &record.headers.clone(),
                                Duration::from_secs(20),
                            )
                            .await
                    }));
                }
                if pending.len() > 200 {
                    for p in pending.drain(..) {
                        p.await??;
                    }
                }
            }
            for p in pending {
                p.await??;
            }
            std::fs::write(out, serde_json::to_vec(&last)?)?;
            println!("published {count}, alive {}", last.values().filter(|s| s.is_some()).count());
        }
        _ => anyhow::bail!("what?"),
    }
    Ok(())
}
