/* What becomes of a way back that has been gone often: a loop, perhaps (lift_loop()). Private to cpu/riscv.
 * Threads, lifetime: the hart's own. */
#ifndef CPU_RISCV_HOT_H
#define CPU_RISCV_HOT_H

#include "cpu/riscv/record.h"

/* The hart counts so many ways to `head`, or entries there, before it asks what is to become of them. */
void hot_count(struct hart *hart, uint64_t head, unsigned times);

/* A way back to `head` in the unit at `unit`, both as units name places, has been gone often. The hart is at it, and goes on in the
 * interpreter for some rounds. False: the engine is left, hart->exit says why. */
bool hot_way_back(struct hart *hart, const struct record_steps *steps, uint64_t head, uint64_t unit);

#endif
