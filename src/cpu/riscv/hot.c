#include "cpu/riscv/hot.h"

#include "cpu/riscv/engine.h"
#include "cpu/riscv/jit.h"
#include "cpu/riscv/unit.h"

void hot_count(struct hart *hart, uint64_t head, unsigned times)
{
    hart->jit.counters[jit_counter(head)] = (int32_t)times;
}

/* Somebody else makes a loop: a hart that counts ways to `head` will look for it before it has become as hot again. */
static void look_soon(struct hart *hart, uint64_t head)
{
    enum { LOOKS = 8 };
    hot_count(hart, head, code_engine(hart->code)->hot / LOOKS);
}

/* Makes a loop of the code at `at`, if the hart goes round there. Its ways to `head` are counted. False: the engine
 * is left. */
static bool make_loop(struct hart *hart, const struct record_steps *steps, uint64_t head, uint64_t at)
{
    struct lift_way way;
    enum record_result result = record_loop(hart, steps, at, &way);
    if (result != RECORD_LEFT && code_heat(hart, at, result == RECORD_STEADY ? &way : NULL))
        look_soon(hart, head);
    return result != RECORD_LEFT;
}

/* There is a loop at `head`, but the hart goes round another way: a loop of its own, which begins where it leaves
 * the other one. */
static bool split_loop(struct hart *hart, const struct record_steps *steps, uint64_t head, uint64_t path)
{
    uint64_t split;
    switch (record_split(hart, steps, head, path, &split)) {
    case RECORD_LEFT: return false;
    case RECORD_UNSURE: code_heat(hart, head, NULL); return true;
    case RECORD_STEADY: break;
    }
    if (code_heat_at(hart->code, split, &path) != CODE_IS_ASKED)
        return make_loop(hart, steps, head, split);
    look_soon(hart, head);
    return true;
}

bool hot_way_back(struct hart *hart, const struct record_steps *steps, uint64_t head, uint64_t unit)
{
    uint64_t path;
    hot_count(hart, head, code_engine(hart->code)->hot);
    switch (code_heat_at(hart->code, head, &path)) {
    case CODE_IS_COUNTED: return make_loop(hart, steps, head, head);
    case CODE_IS_LOOP: return split_loop(hart, steps, head, path);
    case CODE_IS_NONE: break;
    case CODE_IS_QUICK: code_promote(hart->code, head); break;
    case CODE_IS_ASKED: look_soon(hart, head); break;
    case CODE_IS_OTHER: code_cool(hart->code, unit); break;
    }
    return true;
}
