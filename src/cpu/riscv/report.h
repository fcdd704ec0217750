/* Translations as text: guest code, IR, host code; for --dump and for lockstep's reports. Private to cpu/riscv.
 * Threads, lifetime: none. */
#ifndef CPU_RISCV_REPORT_H
#define CPU_RISCV_REPORT_H

#include "base/buf.h"
#include "cpu/riscv/translate.h"

/* What of a translation: enum engine_dump. `ir`: lifted again, not yet assembled. */
void report_translation(struct buf *out, const struct translation *translation, const struct ir *ir,
                        unsigned what);

/* Writes the buffer to standard error and releases it. */
void report_write(struct buf *out);

#endif
