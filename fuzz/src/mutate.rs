//! [`Mutator`]: real inputs, broken at random in ways that have broken parsers before.

/// Pieces that mean something to one parser or another.
const TOKENS: &[&str] = &[
    "",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "'",
    "\\",
    "%",
    "%2",
    "%00",
    "%2A",
    "*",
    ",",
    "=",
    "==",
    "!=",
    "=~",
    "in",
    "notin",
    "<<",
    ">>",
    "<<-",
    "->>",
    "<<range .GroupBySlice>>",
    "<<end>>",
    "<<if .Series>>",
    ".LabelMatchers",
    "$1",
    "${1}",
    "(?:",
    "\n",
    "\r\n",
    "\t",
    "\u{0}",
    "\u{feff}",
    "ü",
    "NaN",
    "+Inf",
    "-1",
    "0",
    "1e308",
    "1e-308",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "0x7f",
    "1Ki",
    "100m",
    "null",
    "true",
    "[]",
    "{}",
    "- ",
    ": ",
    "&a",
    "*a",
    "!!map",
    "# EOF",
    " # {} 1 1",
    "namespaces",
    "/",
    "//",
    "?",
    "&",
    "99999h",
    "0s",
    "2026-11-21T10:00:00Z",
    "-262143-01-01T00:00:00Z",
];

/// Breaks inputs; the same seed breaks them in the same way.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// Returns a mutator.
    pub fn new(seed: u64) -> Self {
        Self { state: seed | 1 }
    }

    /// Returns a number below `bound`; 0 when there is none.
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let number = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % bound.max(1)
    }

    /// Returns one of the inputs, broken in one to eight places.
    pub fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = inputs.get(self.below(inputs.len())).cloned().unwrap_or_default();
        for _ in 0..=self.below(8) {
            let at = self.below(bytes.len() + 1);
            let end = at + self.below((bytes.len() - at).min(40) + 1);
            match self.below(7) {
                0 => {
                    let byte = u8::try_from(self.below(256)).unwrap_or_default();
                    bytes.insert(at, byte);
                }
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let copy = bytes.get(at..end).unwrap_or_default().repeat(1 + self.below(3));
                    bytes.splice(at..at, copy);
                }
                3 => bytes.truncate(at),
                4 => {
                    let other = inputs.get(self.below(inputs.len())).map(Vec::as_slice).unwrap_or_default();
                    let from = self.below(other.len() + 1);
                    let to = from + self.below((other.len() - from).min(200) + 1);
                    bytes.splice(at..end, other.get(from..to).unwrap_or_default().to_vec());
                }
                5 => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
                _ => {
                    let token = TOKENS.get(self.below(TOKENS.len())).copied().unwrap_or_default();
                    bytes.splice(at..end, token.bytes());
                }
            }
        }
        bytes
    }
}
