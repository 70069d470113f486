//! Versions that clients give, pipelines that requests name, and aliases that they require.

use understudy_tests::Stage;

use crate::twins::Twins;

#[tokio::test(flavor = "multi_thread")]
async fn replies_to_versions_are_those_of_the_primary() {
    let stage = Stage::new("replies to versions");
    let gateway = stage.gateway().await;
    let twins = Twins::new(&stage, &gateway);
    let index = |fields: &str| format!("{{\"index\":{{{fields}}}}}\n{{}}\n");
    let create = |fields: &str| format!("{{\"create\":{{{fields}}}}}\n{{}}\n");
    let delete = |fields: &str| format!("{{\"delete\":{{{fields}}}}}\n");
    let external = "\"version_type\":\"external\"";
    for (method, path, body) in [
        ("PUT", "_doc/1?version=0&version_type=external", "{}"),
        ("PUT", "_doc/1?version=0&version_type=external", "{}"),
        ("PUT", "_doc/1?version=0&version_type=external_gte", "{}"),
        ("PUT", "_doc/1?version=7&version_type=external_gt", "{}"),
        ("PUT", "_doc/1", "{}"),
        ("PUT", "_doc/1?version=8", "{}"),
        ("PUT", "_doc/1?version=8&version_type=internal", "{}"),
        ("PUT", "_doc/1?version_type=external", "{}"),
        ("PUT", "_doc/1?version_type=force", "{}"),
        ("PUT", "_doc/1?version=99&version_type=external&if_seq_no=1&if_primary_term=1", "{}"),
        ("PUT", "_create/2?version=1&version_type=external", "{}"),
        ("PUT", "_doc/2?op_type=create&version=1", "{}"),
        ("DELETE", "_doc/1?version=3&version_type=external", ""),
        ("DELETE", "_doc/1?version=20&version_type=external", ""),
        ("DELETE", "_doc/1?version=21", ""),
        ("DELETE", "_doc/1?pipeline=p", ""),
        ("PUT", "_doc/1?version=9223372036854775807&version_type=external", "{}"),
        ("POST", "_bulk", &index(&format!("\"_id\":\"3\",\"version\":7,{external}"))),
        ("POST", "_bulk", &index(&format!("\"_id\":\"3\",\"version\":7,{external}"))),
        ("POST", "_bulk", &index("\"_id\":\"3\",\"version\":\"7\",\"version_type\":\"external_gte\"")),
        ("POST", "_bulk", &index("\"_id\":\"3\",\"version\":null,\"retry_on_conflict\":2,\"_source\":\"a\"")),
        ("POST", "_bulk", &delete(&format!("\"_id\":\"3\",\"version\":9,{external}"))),
        ("POST", "_bulk", &delete(&format!("\"_id\":\"nowhere\",\"version\":9,{external}"))),
    ] {
        let got = twins.same((method, path, body), true).await;
        assert_ne!(got.error_type(), "not_replicated_exception");
    }
    // One of these refuses a whole bulk.
    let good = index("\"_id\":\"good\"");
    for bad in [
        index("\"_id\":\"3\",\"version\":50"),
        index(&format!("\"_id\":\"3\",{external}")),
        index(&format!("\"_id\":\"3\",\"version\":50,{external},\"if_seq_no\":1,\"if_primary_term\":1")),
        create(&format!("\"_id\":\"4\",\"version\":50,{external}")),
        create("\"_id\":\"4\",\"version\":50"),
        create(&format!("\"_id\":\"4\",{external}")),
        delete("\"_id\":\"3\",\"version\":50"),
    ] {
        let got = twins.same(("POST", "_bulk", &format!("{good}{bad}")), true).await;
        assert_eq!(got.status, 400, "{got}");
    }
    // The gateway itself refuses what the primary would, for it assigns ids.
    let wrong = "action_request_validation_exception";
    for (bad, kind) in [
        (index(&format!("\"version\":50,{external}")), wrong),
        (create("\"version\":50"), wrong),
        (index("\"_id\":\"3\",\"version\":50,\"version_type\":\"EXTERNAL\""), "illegal_argument_exception"),
        (index(&format!("\"_id\":\"3\",\"version\":8.5,{external}")), "illegal_argument_exception"),
        (index(&format!("\"_id\":\"3\",\"version\":-1,{external}")), "illegal_argument_exception"),
        (index(&format!("\"_id\":\"3\",\"version\":9223372036854775808,{external}")), "illegal_argument_exception"),
    ] {
        let path = format!("/{}/_bulk", twins.ours);
        let reply = stage.through(&gateway).post(&path, format!("{good}{bad}")).await.expect(400);
        assert_eq!(reply.error_type(), kind, "{bad}\n{reply}");
    }
    let path = format!("/{}/_doc?version=1&version_type=external", twins.ours);
    let posted = stage.through(&gateway).post(&path, "{}").await.expect(400);
    assert_eq!(posted.error_type(), wrong);
    let (ours, theirs) = twins.documents().await;
    assert_eq!(ours, theirs);
    assert!(!ours.to_string().contains("good"), "{ours}");
    stage.wait_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_to_pipelines_and_required_aliases_are_those_of_the_primary() {
    let stage = Stage::new("replies to pipelines");
    let gateway = stage.gateway().await;
    let twins = Twins::new(&stage, &gateway);
    twins.create_unread(&stage).await;
    let index = |fields: &str| format!("{{\"index\":{{\"_id\":\"1\",{fields}}}}}\n{{}}\n");
    let update = |fields: &str| format!("{{\"update\":{{\"_id\":\"1\",{fields}}}}}\n{{\"doc\":{{\"n\":1}}}}\n");
    for (method, path, body) in [
        ("PUT", "_doc/1?pipeline=_none", "{}"),
        ("PUT", "_doc/1?pipeline=unknown", "{}"),
        ("PUT", "_doc/1?pipeline=", "{}"),
        ("PUT", "_create/2?pipeline=unknown", "{}"),
        ("POST", "_bulk?pipeline=unknown", &index("\"routing\":null")),
        ("POST", "_bulk?pipeline=unknown", &index("\"pipeline\":\"_none\"")),
        ("POST", "_bulk", &index("\"pipeline\":\"unknown\"")),
        ("POST", "_bulk", &index("\"pipeline\":\"\"")),
        ("POST", "_bulk", &index("\"pipeline\":null")),
        ("POST", "_bulk", &update("\"pipeline\":\"_none\"")),
        ("PUT", "_doc/1?require_alias=true", "{}"),
        ("PUT", "_doc/1?require_alias=maybe", "{}"),
        ("PUT", "_create/3?require_alias", "{}"),
        ("POST", "_bulk", &index("\"require_alias\":true")),
        ("POST", "_bulk", &index("\"require_alias\":\"maybe\"")),
        ("POST", "_bulk?require_alias=true", &index("\"require_alias\":false")),
        ("POST", "_bulk?require_alias=true", &index("\"routing\":null")),
        ("PUT", "../INDEX-alias/_doc/4?require_alias=true", "{}"),
        ("POST", "../INDEX-alias/_bulk?require_alias=true", &update("\"_source\":true")),
        ("POST", "../INDEX-alias/_update/1?require_alias=true", "{\"doc\":{\"n\":2}}"),
        ("DELETE", "../INDEX-alias/_doc/4", ""),
    ] {
        twins.same((method, path, body), true).await;
    }
    let (ours, theirs) = twins.documents().await;
    assert_eq!(ours, theirs);
    stage.wait_settled().await;
}
