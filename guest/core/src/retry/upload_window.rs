//! How many uploads go at once: additive increase, multiplicative decrease.

/// The number of uploads that a writer has in flight at most. It is halved when the service
/// throttles, and grows by one when a whole window of uploads went through.
#[derive(Debug)]
pub struct UploadWindow {
    most: usize,
    size: usize,
    in_flight: usize,
    /// Uploads that went through since the size changed.
    passed: usize,
    /// Uploads numbered below this were sent before the window was halved last: that they are
    /// throttled too is no news.
    halved_at: u64,
    /// Number of the next upload.
    next: u64,
}

/// An upload in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload(u64);

/// What became of an upload, as far as the window is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadResult {
    /// The service took it.
    Passed,
    /// The service asks to slow down.
    Throttled,
    /// Anything else says nothing about how much the service can take.
    Failed,
}

impl UploadWindow {
    /// Open to its full size of `most`, at least 1.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            most,
            size: most,
            in_flight: 0,
            passed: 0,
            halved_at: 0,
            next: 0,
        }
    }

    /// Uploads at once at most.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether one more upload may be sent.
    pub fn has_room(&self) -> bool {
        self.in_flight < self.size
    }

    /// One more upload is sent.
    pub fn send(&mut self) -> Upload {
        self.in_flight += 1;
        self.next += 1;
        Upload(self.next - 1)
    }

    /// An upload was answered, or is not in flight any more.
    pub fn settle(&mut self, upload: Upload, result: UploadResult) {
        // Halving a window that is not used to the full would change nothing.
        let used = self.size.min(self.in_flight);
        self.in_flight = self.in_flight.saturating_sub(1);
        match result {
            UploadResult::Throttled if upload.0 >= self.halved_at => {
                self.size = (used / 2).max(1);
                self.halved_at = self.next;
                self.passed = 0;
            }
            UploadResult::Passed if self.size < self.most => {
                self.passed += 1;
                if self.passed >= self.size {
                    self.size += 1;
                    self.passed = 0;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(window: &mut UploadWindow) -> Vec<Upload> {
        let mut uploads = Vec::new();
        while window.has_room() {
            uploads.push(window.send());
        }
        uploads
    }

    #[test]
    fn one_round_of_throttling_halves_once_and_never_below_one() {
        let mut window = UploadWindow::new(8);
        for expected in [4, 2, 1, 1] {
            for upload in fill(&mut window) {
                window.settle(upload, UploadResult::Throttled);
            }
            assert_eq!(window.size(), expected);
        }
    }

    #[test]
    fn each_full_window_that_passes_adds_one_up_to_the_bound() {
        let mut window = UploadWindow::new(3);
        for upload in fill(&mut window) {
            window.settle(upload, UploadResult::Throttled);
        }
        assert_eq!(window.size(), 1);
        for expected in [2, 3, 3] {
            for upload in fill(&mut window) {
                window.settle(upload, UploadResult::Passed);
            }
            assert_eq!(window.size(), expected);
        }
    }

    #[test]
    fn a_window_that_is_hardly_used_is_halved_from_what_is_used() {
        let mut window = UploadWindow::new(16);
        let uploads = [(); 4].map(|()| window.send());
        for upload in uploads {
            window.settle(upload, UploadResult::Throttled);
        }
        assert_eq!(window.size(), 2);
    }

    #[test]
    fn other_failures_leave_the_window_alone() {
        let mut window = UploadWindow::new(4);
        for upload in fill(&mut window) {
            window.settle(upload, UploadResult::Failed);
        }
        assert_eq!((window.size(), window.has_room()), (4, true));
    }
}
