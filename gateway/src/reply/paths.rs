//! Path patterns as one automaton: `name`, `address.*`, `*.id`. A path that goes on behind a dot is matched as well.

/// Patterns of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paths {
    steps: Vec<Step>,
    starts: Vec<usize>,
}

/// What a place of a pattern waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// This byte.
    Byte(u8),
    /// Any bytes, or none.
    Any,
    /// The end of the path, or a dot and whatever follows it.
    End,
    /// Whatever follows.
    Rest,
}

/// The places of patterns that may be next, after some part of a path. Dead when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State(Vec<usize>);

impl State {
    pub(super) fn is_dead(&self) -> bool {
        self.0.is_empty()
    }
}

impl Paths {
    pub(super) fn new(patterns: &[String]) -> Self {
        let mut paths = Self { steps: Vec::new(), starts: Vec::new() };
        for pattern in patterns {
            paths.starts.push(paths.steps.len());
            for byte in pattern.bytes() {
                let step = if byte == b'*' { Step::Any } else { Step::Byte(byte) };
                // Two stars say no more than one.
                if step != Step::Any || paths.steps.last() != Some(&Step::Any) {
                    paths.steps.push(step);
                }
            }
            paths.steps.extend([Step::End, Step::Rest]);
        }
        paths
    }

    /// Before the first byte of a path.
    pub(super) fn start(&self) -> State {
        let mut state = State::default();
        self.starts.iter().for_each(|place| self.reach(*place, &mut state));
        state
    }

    /// After some more bytes of a path.
    pub(super) fn step(&self, state: &State, bytes: &[u8]) -> State {
        let mut state = state.clone();
        for byte in bytes {
            let mut next = State::default();
            for place in &state.0 {
                match self.steps[*place] {
                    Step::Byte(wanted) if wanted == *byte => self.reach(place + 1, &mut next),
                    Step::End if *byte == b'.' => self.reach(place + 1, &mut next),
                    Step::Any | Step::Rest => self.reach(*place, &mut next),
                    Step::Byte(_) | Step::End => {}
                }
            }
            state = next;
            if state.is_dead() {
                break;
            }
        }
        state
    }

    /// Whether the path may end here.
    pub(super) fn accepts(&self, state: &State) -> bool {
        state.0.iter().any(|place| matches!(self.steps[*place], Step::End | Step::Rest))
    }

    /// Adds a place, and the one behind it where it may be passed over. Places come in order, so that the last one tells
    /// whether it is there already.
    fn reach(&self, place: usize, state: &mut State) {
        if state.0.last().is_none_or(|last| *last < place) {
            state.0.push(place);
        }
        if self.steps[place] == Step::Any && state.0.last() == Some(&place) {
            state.0.push(place + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_paths() {
        for (pattern, path, wanted) in [
            ("a", "a", true),
            ("a", "a.b.c", true),
            ("a", "ab", false),
            ("a.b", "a", false),
            ("*.b", "x.y.b", true),
            ("a*c", "a.b.c", true),
            ("a**c", "ac.d", true),
            ("*", "", true),
            ("", "a", false),
            ("*a*a", "bababa", true),
            ("*ab", "aab", true),
            ("ü*", "üx", true),
        ] {
            let paths = Paths::new(&[pattern.to_owned(), "zz".to_owned()]);
            assert_eq!(paths.accepts(&paths.step(&paths.start(), path.as_bytes())), wanted, "{pattern} {path}");
        }
        let none = Paths::new(&[]);
        assert!(none.start().is_dead() && !none.accepts(&none.start()));
    }
}
