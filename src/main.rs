//! The command line's entry.

fn main() -> std::process::ExitCode {
    baton::cli::run()
}
