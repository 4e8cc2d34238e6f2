//! A small OpenFaaS gateway for the demo.
