//! Answers are put together piece by piece: the formatting machinery would take longer than all that they are about.

/// Appends pieces.
pub(crate) fn append(text: &mut String, pieces: &[&str]) {
    pieces.iter().for_each(|piece| text.push_str(piece));
}

/// Appends a number.
pub(crate) fn append_number(text: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    digits[first..].iter().for_each(|digit| text.push(char::from(*digit)));
}

/// A letter and a number.
pub(crate) fn named(letter: char, number: u64) -> String {
    let mut name = String::with_capacity(8);
    name.push(letter);
    append_number(&mut name, number);
    name
}
