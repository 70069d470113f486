//! Sources: each with its write id, some of them awkward.

use super::Maker;

/// A small one.
pub fn plain(maker: &mut Maker<'_>) -> String {
    let n = maker.dice.below(1_000);
    format!(r#"{{"w":"{}","n":{n}}}"#, maker.w)
}

/// Numbers that a parser would change, characters, spaces, empty objects; some of it large. On one line.
pub fn awkward(maker: &mut Maker<'_>) -> String {
    const RAW: [&str; 6] = [
        r#"{"price":1.10,"big":12345678901234567890123,"tiny":1E-400,"zero":-0.0,"e":1e+2}"#,
        r#"{"text":"Grüße \u00fc 漢字 \ud83d\ude00 😀","quoted":"a \"b\" \\ \/ \t"}"#,
        r"{}",
        r#"{"empty":{},"list":[],"nested":[{},[[]],null,true]}"#,
        r#"{ "spaces" : [ 1 ,	2 ] , "a.b" : { "" : "\n" } }"#,
        r#"{"__proto__":{"_id":"x","_source":{}},"index":{"_index":"other"}}"#,
    ];
    let raw = (*maker.dice.pick(&RAW)).to_owned();
    let raw = if maker.dice.percent(10) {
        let long = "long ".repeat(usize::try_from(maker.dice.between(500, 5_000)).expect("it is small"));
        format!(r#"{{"long":"{long}","rest":{raw}}}"#)
    } else {
        raw
    };
    format!(r#"{{"raw": {raw} ,"w":"{}"}}"#, maker.w)
}

/// One on several lines.
pub fn pretty(maker: &mut Maker<'_>) -> String {
    let end = if maker.dice.percent(50) { "\n" } else { "\r\n" };
    let n = maker.dice.below(1_000);
    let lines = ["{".to_owned(), format!("  \"w\" : \"{}\",", maker.w), format!("\t\"n\" : {n},"), String::new()];
    format!("{}  \"raw\" : {{ \"price\" :{end} 1.10 }}{end}}}", lines.join(end))
}

/// One that brings fields of its own; what they are called says what they are.
pub fn grown(maker: &mut Maker<'_>) -> String {
    let (text, number, truth) = (maker.dice.below(12), maker.dice.below(12), maker.dice.below(4));
    format!(
        r#"{{"w":"{}","text{text}":"some text","number{number}":{number},"part":{{"truth{truth}":true}}}}"#,
        maker.w
    )
}

/// One of a megabyte and a little more.
pub fn large(maker: &mut Maker<'_>) -> String {
    let words = usize::try_from(maker.dice.between(100_000, 110_000)).expect("it is small");
    format!(r#"{{"raw":{{"large":"{}"}},"w":"{}"}}"#, "ten bytes ".repeat(words), maker.w)
}

/// One with what a target refuses (`World::picky`), one time in four.
pub fn misfit(maker: &mut Maker<'_>) -> String {
    let x = if maker.dice.percent(25) { r#""no number""#.to_owned() } else { maker.dice.below(1_000).to_string() };
    format!(r#"{{"w":"{}","o":{{"x":{x}}}}}"#, maker.w)
}
