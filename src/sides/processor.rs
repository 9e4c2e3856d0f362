//! The processor a run is made on.

/// Instruction sets that change which kernels run, and so the last bits of a float32 sum.
pub(crate) fn cpu_features() -> Vec<String> {
    let mut found = vec![std::env::consts::ARCH.to_owned()];
    #[cfg(target_arch = "x86_64")]
    for (name, present) in [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ] {
        if present {
            found.push(name.to_owned());
        }
    }
    found
}
