#include "cpu.h"

#include <cpuid.h>

#include <cstdint>

#include "failure.h"

namespace csot {
namespace {

bool bit(unsigned word, int number) { return word >> number & 1; }

/// The number of kernels in order of `kAll` that can run here. Asked of the processor itself: `__builtin_cpu_supports` answers no
/// in programs that were built with ziglang.
int runnable_count() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 1;
    const bool has_fma = bit(c, 12), saves_registers = bit(c, 27), has_avx = bit(c, 28);
    if (!has_fma || !saves_registers || !has_avx) return 1;
    unsigned saved, high;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & 0x06) != 0x06) return 1;  // the operating system does not keep the 256-bit registers
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !bit(b, 5)) return 1;
    const bool has_avx512 = bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);  // F, DQ, BW, VL
    return has_avx512 && (saved & 0xe6) == 0xe6 ? 3 : 2;
}

const Kernels *const kAll[] = {&base::kKernels, &avx2::kKernels, &avx512::kKernels};

}  // namespace

const Kernels &best_kernels() { return *kAll[runnable_count() - 1]; }

const Kernels &kernels_named(const std::string &name) {
    if (name == "auto") return best_kernels();
    for (int i = 0; i < runnable_count(); i++)
        if (name == kAll[i]->name) return *kAll[i];
    for (const Kernels *kernels : kAll)
        if (name == kernels->name) throw Failure(CSOT_E_BACKEND, "this processor has no " + name + "; set instruction_set: auto");
    throw Failure(CSOT_E_CONFIG, "config.yaml: instruction_set must be auto, base, avx2 or avx512");
}

}  // namespace csot
