//! What AWS answers and no emulator does: each test says what comes over the wire, and checks what went.

mod definitions;
mod launch;
mod life;
mod messages;
mod seam;
