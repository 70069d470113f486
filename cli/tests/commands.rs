//! The commands that need no server, as processes.

use std::process::{Command, Output};

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/understudy.toml");

fn understudy(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_understudy"))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("it starts");
    let Output { status, stdout, stderr } = output;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().expect("an exit status"), text(stdout), text(stderr))
}

#[test]
fn the_example_is_the_reference() {
    let (code, example, _) = understudy(&["config", "example"], &[]);
    assert_eq!((code, example), (0, std::fs::read_to_string(REFERENCE).unwrap()));
}

#[test]
fn every_error_of_a_configuration_is_told() {
    let (code, said, _) = understudy(&["config", "check", REFERENCE], &[]);
    assert_eq!((code, said), (0, format!("{REFERENCE}: right\n")));
    let wrong = [("UNDERSTUDY_GATEWAY__LISTEN", "nowhere"), ("UNDERSTUDY_KAFKA__PARTITIONS", "many")];
    for verb in ["check", "show"] {
        let (code, said, errors) = understudy(&["config", verb, REFERENCE], &wrong);
        assert_eq!((code, said.as_str()), (64, ""), "{errors}");
        assert!(errors.contains("gateway.listen: must be host:port"), "{errors}");
        assert!(errors.contains("kafka.partitions: must be a whole number"), "{errors}");
    }
    assert_eq!(understudy(&["config", "check", "/does/not/exist"], &[]).0, 64);
    assert_eq!(understudy(&["config", "check"], &[]).0, 64);
}

#[test]
fn what_counts_is_shown_without_secrets_and_can_be_read_again() {
    let variables = [
        ("UNDERSTUDY_CLUSTERS__PRIMARY__USERNAME", "u"),
        ("UNDERSTUDY_CLUSTERS__PRIMARY__PASSWORD", "s3cret"),
        ("UNDERSTUDY_KAFKA__OPTIONS__SASL_PASSWORD", "s3cret"),
        ("UNDERSTUDY_GATEWAY__INTENT_TIMEOUT", "1s"),
    ];
    let (code, shown, errors) = understudy(&["config", "show", REFERENCE], &variables);
    assert_eq!(code, 0, "{errors}");
    assert!(shown.contains("intent_timeout = \"1s\"") && shown.contains("retention = \"7d\""), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let file = std::env::temp_dir().join(format!("understudy-shown-{}.toml", std::process::id()));
    std::fs::write(&file, &shown).unwrap();
    let (code, again, errors) = understudy(&["config", "show", file.to_str().unwrap()], &[]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!((code, again), (0, shown), "{errors}");
}

#[test]
fn shells_complete_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = understudy(&["completions", shell], &[]);
        assert_eq!(code, 0);
        for word in ["status", "verify", "dead-letters", "redrive", "config", "max-differences", "watch"] {
            assert!(script.contains(word), "{word} is not in the script for {shell}");
        }
    }
    assert_eq!(understudy(&["completions", "cobol"], &[]).0, 64);
}

/// `--help` teaches: what it does, how it is called, what its exit status means.
#[test]
fn help_teaches() {
    for command in [&[][..], &["status"], &["verify"], &["dead-letters"], &["config"], &["completions"]] {
        let (code, help, _) = understudy(&[command, &["--help"]].concat(), &[]);
        assert_eq!(code, 0);
        for part in ["Usage: understudy", "Examples:", "Exit status", "64"] {
            assert!(help.contains(part), "{part} is not in the help of {command:?}:\n{help}");
        }
    }
}
