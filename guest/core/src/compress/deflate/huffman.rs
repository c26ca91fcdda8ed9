//! Codes made for the symbols of one block.

use super::bits::{BitWriter, Bits};
use super::{DISTANCES, END_OF_BLOCK, LITERALS};

/// Longest code of any kind.
const LONGEST: usize = 15;

/// How often each symbol comes, and its code.
#[derive(Debug)]
pub(super) struct Code<const N: usize> {
    counts: [u32; N],
    lengths: [u8; N],
    /// The code's bits above its length, which takes the lowest byte.
    words: [u32; N],
}

impl<const N: usize> Default for Code<N> {
    fn default() -> Self {
        Self {
            counts: [0; N],
            lengths: [0; N],
            words: [0; N],
        }
    }
}

impl<const N: usize> Code<N> {
    pub(super) fn clear(&mut self) {
        self.counts = [0; N];
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "symbols come from the format's tables"
    )]
    #[inline(always)]
    pub(super) fn count(&mut self, symbol: usize) {
        self.counts[symbol] += 1;
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "symbols come from the format's tables"
    )]
    #[inline(always)]
    pub(super) fn word(&self, symbol: usize) -> Bits {
        let word = self.words[symbol];
        Bits {
            bits: u64::from(word >> 8),
            len: word & 0xff,
        }
    }

    /// Bits of all symbols counted, each with so many more behind it.
    pub(super) fn bits(&self, extra: impl Fn(usize) -> usize) -> usize {
        let symbols = self.counts.iter().zip(&self.lengths).enumerate();
        symbols
            .map(|(symbol, (count, length))| {
                *count as usize * (usize::from(*length) + extra(symbol))
            })
            .sum()
    }

    /// Makes the code of the symbols counted, at most `longest` bits each.
    pub(super) fn build(&mut self, longest: usize) {
        // Symbols by count; two at least, because readers differ about codes of one symbol.
        let mut used: Vec<(u32, usize)> = (0..)
            .zip(&self.counts)
            .filter(|(_, count)| **count > 0)
            .map(|(symbol, count)| (*count, symbol))
            .collect();
        let unused = (0..).zip(&self.counts).filter(|(_, count)| **count == 0);
        let fillers = unused.map(|(symbol, _)| (1, symbol));
        let missing = 2_usize.saturating_sub(used.len());
        used.extend(fillers.take(missing));
        used.sort_unstable();

        let depths = depths(used.iter().map(|(count, _)| *count));
        let per_length = limited(&depths, longest);
        self.lengths = [0; N];
        // The rarest have the longest codes.
        let lengths = (0_u8..=LONGEST as u8)
            .zip(per_length)
            .rev()
            .flat_map(|(length, symbols)| std::iter::repeat_n(length, symbols as usize));
        for ((_, symbol), length) in used.iter().zip(lengths) {
            if let Some(slot) = self.lengths.get_mut(*symbol) {
                *slot = length;
            }
        }
        self.assign(&per_length);
    }

    /// Codes of one length follow each other, in the order of their symbols.
    fn assign(&mut self, per_length: &[u32; LONGEST + 1]) {
        let mut next = [0_u32; LONGEST + 1];
        let mut code = 0;
        for (first, symbols) in next.iter_mut().zip(per_length) {
            *first = code << 1;
            code = *first + symbols;
        }
        for (length, word) in self.lengths.iter().zip(&mut self.words) {
            *word = 0;
            if let (1.., Some(next)) = (*length, next.get_mut(usize::from(*length))) {
                // The highest bit of a code is written first.
                let reversed = next.reverse_bits() >> (32 - u32::from(*length));
                *word = reversed << 8 | u32::from(*length);
                *next += 1;
            }
        }
    }
}

/// Number of codes of each length, none longer than `longest`.
fn limited(depths: &[u32], longest: usize) -> [u32; LONGEST + 1] {
    let mut per_length = [0_u32; LONGEST + 1];
    let longest = longest.min(LONGEST);
    for depth in depths {
        if let Some(symbols) = per_length.get_mut((*depth as usize).min(longest)) {
            *symbols += 1;
        }
    }
    // Cutting the deepest off takes more of the code space than there is: lengthen others until it
    // fits.
    let whole = 1_u32 << longest;
    let space = |per_length: &[u32; LONGEST + 1]| -> u32 {
        let lengths = per_length.iter().enumerate().take(longest + 1).skip(1);
        lengths
            .map(|(length, symbols)| symbols << (longest - length))
            .sum()
    };
    while space(&per_length) > whole {
        let shorter = per_length.iter().take(longest).rposition(|n| *n > 0);
        let Some(shorter) = shorter else { break };
        for (length, change) in [(longest, -1), (shorter, -1), (shorter + 1, 2)] {
            if let Some(symbols) = per_length.get_mut(length) {
                *symbols = symbols.saturating_add_signed(change);
            }
        }
    }
    per_length
}

/// Depth of each leaf in the tree of least redundancy, for counts in ascending order, at least two
/// (Moffat and Katajainen, 1995).
#[expect(
    clippy::indexing_slicing,
    reason = "all indices are below the number of leaves"
)]
fn depths(counts: impl Iterator<Item = u32>) -> Vec<u32> {
    // First the counts, then sums and parents of inner nodes, then depths, all in one place.
    let mut tree: Vec<u32> = counts.collect();
    let leaves = tree.len();
    if leaves < 2 {
        return vec![1; leaves];
    }
    tree[0] += tree[1];
    let (mut root, mut leaf) = (0, 2);
    for node in 1..leaves - 1 {
        for child in 0..2 {
            let take_root = leaf >= leaves || (root < node && tree[root] < tree[leaf]);
            let count = if take_root {
                let count = tree[root];
                tree[root] = node as u32;
                root += 1;
                count
            } else {
                leaf += 1;
                tree[leaf - 1]
            };
            tree[node] = if child == 0 {
                count
            } else {
                tree[node] + count
            };
        }
    }
    tree[leaves - 2] = 0;
    for node in (0..leaves - 2).rev() {
        tree[node] = tree[tree[node] as usize] + 1;
    }
    // How many leaves each level has, from the top.
    let mut inner = leaves - 1;
    let mut unassigned = leaves;
    let mut places = 1;
    let mut depth = 0;
    while places > 0 {
        let mut nodes = 0;
        while inner > 0 && tree[inner - 1] == depth {
            nodes += 1;
            inner -= 1;
        }
        for _ in nodes..places {
            unassigned -= 1;
            tree[unassigned] = depth;
        }
        places = 2 * nodes;
        depth += 1;
    }
    tree
}

/// The lengths of both codes as the head of a block tells them.
pub(super) struct CodeLengths {
    literals: usize,
    distances: usize,
    /// Symbol, extra bits.
    items: Vec<(usize, Bits)>,
    code: Code<19>,
    /// How many lengths of `code` are told.
    told: usize,
}

/// Order in which the lengths of the code of lengths are told.
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

impl CodeLengths {
    pub(super) fn of(literals: &Code<LITERALS>, distances: &Code<DISTANCES>) -> Self {
        let used = |lengths: &[u8]| lengths.iter().rposition(|l| *l > 0).map_or(0, |i| i + 1);
        let mut head = Self {
            literals: used(&literals.lengths).max(END_OF_BLOCK + 1),
            distances: used(&distances.lengths).max(1),
            items: Vec::new(),
            code: Code::default(),
            told: 0,
        };
        let all: Vec<u8> = literals
            .lengths
            .iter()
            .take(head.literals)
            .chain(distances.lengths.iter().take(head.distances))
            .copied()
            .collect();
        for run in all.chunk_by(|a, b| a == b) {
            if let Some(length) = run.first() {
                head.run(usize::from(*length), run.len());
            }
        }
        head.code.build(7);
        let told = ORDER
            .iter()
            .rposition(|symbol| head.code.word(*symbol).len > 0);
        head.told = told.map_or(0, |i| i + 1).max(4);
        head
    }

    /// The same length several times.
    fn run(&mut self, length: usize, mut times: usize) {
        if length > 0 {
            self.item(length, 0, 0);
            times -= 1;
        }
        while times > 0 {
            let (taken, symbol, shortest, len) = match (length, times) {
                (0, 11..) => (times.min(138), 18, 11, 7),
                (0, 3..) => (times, 17, 3, 3),
                (_, 3..) => (times.min(6), 16, 3, 2),
                _ => (1, length, 1, 0),
            };
            self.item(symbol, taken - shortest, len);
            times -= taken;
        }
    }

    fn item(&mut self, symbol: usize, extra: usize, len: u32) {
        self.code.count(symbol);
        let bits = extra as u64;
        self.items.push((symbol, Bits { bits, len }));
    }

    /// Size with the head of the block.
    pub(super) fn bits(&self) -> usize {
        let items = self.items.iter();
        let extra: usize = items.map(|(_, extra)| extra.len as usize).sum();
        3 + 14 + 3 * self.told + self.code.bits(|_| 0) + extra
    }

    pub(super) fn write(&self, writer: &mut BitWriter<'_>) {
        writer.push((self.literals - END_OF_BLOCK - 1) as u64, 5);
        writer.push((self.distances - 1) as u64, 5);
        writer.push((self.told - 4) as u64, 4);
        for symbol in ORDER.iter().take(self.told) {
            writer.push(u64::from(self.code.word(*symbol).len), 3);
        }
        for (symbol, extra) in &self.items {
            writer.add(self.code.word(*symbol));
            writer.add(*extra);
            writer.flush();
        }
    }
}
