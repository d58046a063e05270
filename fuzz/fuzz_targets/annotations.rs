#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vcluster_syncer::properties::annotation_line(data));
