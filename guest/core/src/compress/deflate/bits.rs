//! Bits, the lowest first.

/// Bits written of a byte begun.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bits {
    /// The bits; above `len` there are none.
    pub(super) bits: u64,
    /// How many.
    pub(super) len: u32,
}

/// Writes bits. Passed by value through the loops, so that all of it stays in registers.
pub(super) struct BitWriter<'a> {
    word: Bits,
    room: &'a mut [u8],
    written: usize,
}

/// Bytes of room for so many bits behind those begun: a flush writes a whole word.
pub(super) fn room_for(bits: usize) -> usize {
    bits / 8 + 16
}

impl<'a> BitWriter<'a> {
    /// Goes on behind the bits begun.
    pub(super) fn new(begun: Bits, room: &'a mut [u8]) -> Self {
        Self {
            word: begun,
            room,
            written: 0,
        }
    }

    /// Adds bits; a flush takes all but seven, and between two flushes 57 have room.
    #[inline(always)]
    pub(super) fn add(&mut self, more: Bits) {
        self.word.bits |= more.bits << self.word.len;
        self.word.len += more.len;
    }

    /// Moves the whole bytes out.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        let room = self.room.get_mut(self.written..);
        if let Some(room) = room.and_then(|room| room.first_chunk_mut::<8>()) {
            *room = self.word.bits.to_le_bytes();
        }
        let taken = self.word.len & !7;
        self.written += taken as usize / 8;
        self.word.bits >>= taken;
        self.word.len &= 7;
    }

    /// Adds a few bits and moves the whole bytes out.
    pub(super) fn push(&mut self, bits: u64, len: u32) {
        self.add(Bits { bits, len });
        self.flush();
    }

    /// Fills the last byte up.
    pub(super) fn whole_byte(&mut self) {
        if self.word.len > 0 {
            self.word.len = 8;
            self.flush();
        }
    }

    /// Bytes written, and the bits of the byte begun.
    pub(super) fn end(self) -> (usize, Bits) {
        (self.written, self.word)
    }
}
