//! Parity tests live in `tests/parity/`, end-to-end tests (Python) in `tests/e2e/`.
