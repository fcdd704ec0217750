#include "random_unit.h"

#include <string.h>

#include "base/util.h"

static const struct ir_slot slots[UNIT_SLOTS] = {
    {"a0", 0, IR_I64, 1},  {"a1", 8, IR_I64, 2},   {"a2", 16, IR_I64, 3},
    {"a3", 24, IR_I64, 4}, {"fa0", 32, IR_F64, 1}, {"fa1", 40, IR_F64, 2},
    {"t0", 48, IR_I64, 0}, {"ft0", 56, IR_F64, 0}, {"t1", 64, IR_I64, 0},
};
const struct ir_machine unit_machine = {slots, UNIT_SLOTS, 6};

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
    return a * 3 + b * 5 + (c ^ 7);
}

static uint64_t first(uint64_t a, uint64_t b, uint64_t c)
{
    (void)b;
    (void)c;
    return ~a;
}

jit_call *const unit_calls[UNIT_CALLS] = {mix, first};

/* xorshift64* */
uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1du;
}

static unsigned below(uint64_t *seed, unsigned limit)
{
    return (unsigned)((random_next(seed) >> 32) * limit >> 32);
}

uint64_t random_value(uint64_t *seed)
{
    static const uint64_t edges[] = {
        0xff,       0xffff,           0xffffffff, 0x7fffffff,          0x80000000,
        0x80,       0x8000,           INT64_MAX,  (uint64_t)INT64_MIN, UINT64_MAX,
        0xffffff80, UINT64_MAX << 31, 0x100000000};
    uint64_t any = random_next(seed);
    switch (below(seed, 6)) {
    case 0: return below(seed, 70);
    case 1: return -(uint64_t)below(seed, 70);
    case 2: return UINT64_C(1) << (any & 63);
    case 3: return edges[below(seed, ARRAY_SIZE(edges))];
    case 4: return (uint64_t)(int64_t)(int32_t)any;
    default: return any;
    }
}

uint64_t random_float(uint64_t *seed)
{
    static const uint32_t singles[] = {0,          0x80000000, 0x3f800000, 0x7f800000, 0xff800000,
                                       0x7fc00000, 0x7f800001, 0x4f000000, 1,          0xffffffff};
    static const uint64_t doubles[] = {0,
                                       UINT64_C(1) << 63,
                                       0x3ff0000000000000,
                                       0x7ff0000000000000,
                                       0x7ff8000000000000,
                                       0x7ff0000000000001,
                                       0xfff8000000000123,
                                       0x41e0000000000000,
                                       0x43e0000000000000,
                                       1};
    uint64_t any = random_next(seed);
    switch (below(seed, 4)) {
    case 0: return singles[below(seed, ARRAY_SIZE(singles))] | UINT64_MAX << 32;
    case 1: return doubles[below(seed, ARRAY_SIZE(doubles))];
    case 2: return (any & 0x80ffffffffffffff) | 0x3f00000000000000; /* not far from 1 */
    default: return any;
    }
}

/* Values by what they may be used for. Raw ones may be any NaN: they are not to be seen before CANON. */
enum pool_kind { WHOLE, HALF, DOUBLE, SINGLE, RAW_DOUBLE, RAW_SINGLE, POOLS };
struct pool {
    unsigned count;
    ir_ref refs[256];
};
struct builder {
    struct ir *ir;
    struct random_unit *options;
    struct pool pools[POOLS];
    ir_ref address; /* the latest; 0: none */
};

static unsigned chance(struct builder *b, unsigned limit)
{
    return below(&b->options->seed, limit);
}

static void keep(struct builder *b, enum pool_kind kind, ir_ref ref)
{
    struct pool *pool = &b->pools[kind];
    unsigned at = pool->count < ARRAY_SIZE(pool->refs) ? pool->count++ : chance(b, ARRAY_SIZE(pool->refs));
    pool->refs[at] = ref;
}

/* Recent values are chosen more often: chains grow long. */
static ir_ref choose(struct builder *b, enum pool_kind kind)
{
    struct pool *pool = &b->pools[kind];
    unsigned recent = MIN(pool->count, 6u);
    unsigned at = chance(b, 2) ? pool->count - 1 - chance(b, recent) : chance(b, pool->count);
    return pool->refs[at];
}

static ir_ref number(struct builder *b)
{
    return ir_constant(b->ir, (int64_t)random_value(&b->options->seed));
}

static ir_ref whole(struct builder *b)
{
    bool room = b->ir->constant_count + 8 < IR_BASE;
    return room && !chance(b, 4) ? number(b) : choose(b, WHOLE);
}

static ir_ref half(struct builder *b)
{
    return b->pools[HALF].count && chance(b, 2) ? choose(b, HALF) : whole(b);
}

static ir_ref emit(struct builder *b, enum ir_op op, enum ir_type type, ir_ref x, ir_ref y)
{
    return ir_emit(b->ir, op, type, x, y);
}

static ir_ref pair(struct builder *b, ir_ref x, ir_ref y)
{
    return emit(b, IR_PAIR, IR_I64, x, y);
}

static void binary(struct builder *b)
{
    enum ir_op op = (enum ir_op)(IR_ADD + chance(b, IR_REMU - IR_ADD + 1));
    bool high = op == IR_MULH || op == IR_MULHU || op == IR_MULHSU;
    if (high || chance(b, 2))
        keep(b, WHOLE, emit(b, op, IR_I64, whole(b), whole(b)));
    else
        keep(b, HALF, emit(b, op, IR_I32, half(b), half(b)));
}

static void shift(struct builder *b)
{
    static const int64_t counts[] = {0, 1, 3, 8, 16, 24, 31, 32, 40, 48, 56, 63, 64, 95};
    enum ir_op op = (enum ir_op)(IR_SHL + chance(b, IR_ROR - IR_SHL + 1));
    ir_ref count = ir_constant(b->ir, counts[chance(b, ARRAY_SIZE(counts))]);
    if (chance(b, 3))
        keep(b, WHOLE, emit(b, op, IR_I64, whole(b), count));
    else
        keep(b, HALF, emit(b, op, IR_I32, half(b), count));
}

static void unary(struct builder *b)
{
    enum ir_op op = (enum ir_op)(IR_CLZ + chance(b, IR_ZEXT32 - IR_CLZ + 1));
    if (op >= IR_SEXT8)
        keep(b, WHOLE, emit(b, op, IR_I64, half(b), 0));
    else if (chance(b, 2))
        keep(b, WHOLE, emit(b, op, IR_I64, whole(b), 0));
    else
        keep(b, op == IR_BSWAP ? HALF : WHOLE, emit(b, op, IR_I32, half(b), 0));
}

static void comparison(struct builder *b)
{
    enum ir_op op = (enum ir_op)(IR_EQ + chance(b, IR_GEU - IR_EQ + 1));
    if (chance(b, 2))
        keep(b, WHOLE, emit(b, op, IR_I64, whole(b), whole(b)));
    else
        keep(b, WHOLE, emit(b, op, IR_I32, half(b), half(b)));
}

/* Comparison with 0 or 1, as guests negate and branch. */
static void truth(struct builder *b)
{
    static const enum ir_op ops[] = {IR_EQ, IR_NE, IR_XOR, IR_AND, IR_LTU, IR_GEU};
    keep(
        b, WHOLE,
        emit(b, ops[chance(b, ARRAY_SIZE(ops))], IR_I64, choose(b, WHOLE), ir_constant(b->ir, chance(b, 2))));
}

static void selection(struct builder *b)
{
    keep(b, WHOLE, emit(b, IR_SELECT, IR_I64, whole(b), pair(b, whole(b), whole(b))));
}

static void set(struct builder *b)
{
    unsigned slot = chance(b, b->ir->machine->slot_count - b->options->loop);
    if (b->ir->machine->slots[slot].type == IR_I64)
        ir_set(b->ir, slot, whole(b));
    else
        ir_set(b->ir, slot, choose(b, b->pools[SINGLE].count && chance(b, 2) ? SINGLE : DOUBLE));
}

static void get(struct builder *b)
{
    unsigned slot = chance(b, b->ir->machine->slot_count - b->options->loop);
    ir_ref value = ir_get(b->ir, slot);
    keep(b, b->ir->machine->slots[slot].type == IR_I64 ? WHOLE : DOUBLE, value);
}

/* An address in the window: aligned to 8, any value's low bits. Or one of before, which lives on. */
static ir_ref address(struct builder *b)
{
    const struct random_unit *o = b->options;
    if (b->address && chance(b, 2))
        return b->address;
    bool beyond = o->faults && !chance(b, 16);
    ir_ref mask = ir_constant(b->ir, o->window_size - 8);
    ir_ref offset = chance(b, 2) ? mask : emit(b, IR_AND, IR_I64, whole(b), mask);
    b->address = emit(b, IR_ADD, IR_I64, offset,
                      ir_constant(b->ir, (int64_t)(o->window + (beyond ? o->window_size : 0))));
    keep(b, WHOLE, b->address);
    return b->address;
}

/* A value that may be seen as it is. */
static void keep_float(struct builder *b, bool single, ir_ref ref)
{
    keep(b, single ? SINGLE : DOUBLE, single ? emit(b, IR_BOX, IR_F32, ref, 0) : ref);
}

/* An address of one span with others, perhaps: near the latest, which may move on by a constant. */
static ir_ref near_address(struct builder *b, enum ir_op op, enum ir_type type, unsigned step)
{
    static const int offsets[] = {0, 8, 16, 24, 7, -8, -3, 40, 248, -512};
    ir_ref base = address(b);
    if (!chance(b, 4))
        base = b->address = emit(b, IR_ADD, IR_I64, base, ir_constant(b->ir, offsets[chance(b, 4)]));
    return ir_reach(b->ir, base, offsets[chance(b, ARRAY_SIZE(offsets))], ir_access_size(op, type),
                    op >= IR_ST8, b->ir->pc + 4 * step + 1);
}

static void memory(struct builder *b, unsigned step)
{
    enum ir_op op = (enum ir_op)(IR_LDS8 + chance(b, IR_ACAS - IR_LDS8 + 1));
    bool narrow = chance(b, 2), fp = op == IR_LDF || op == IR_STF, single = b->pools[SINGLE].count;
    if (op == IR_HOST)
        return;
    enum ir_type type = fp ? narrow && (op == IR_LDF || single) ? IR_F32 : IR_F64 : IR_I64;
    ir_ref at = b->options->spans && op <= IR_STF ? near_address(b, op, type, step) : address(b);
    if (op <= IR_LD64)
        keep(b, WHOLE, emit(b, op, IR_I64, at, 0));
    else if (op == IR_LDF)
        keep_float(b, narrow, emit(b, op, narrow ? IR_F32 : IR_F64, at, 0));
    else if (op <= IR_ST64)
        emit(b, op, IR_I64, at, op == IR_ST64 ? whole(b) : half(b));
    else if (op == IR_STF && type == IR_F32)
        emit(b, op, IR_F32, at, choose(b, SINGLE));
    else if (op == IR_STF)
        emit(b, op, IR_F64, at, choose(b, DOUBLE));
    else if (op == IR_ZERO)
        emit(b, op, IR_I64, emit(b, IR_AND, IR_I64, at, ir_constant(b->ir, -IR_ZERO_BYTES)), 0);
    else if (op == IR_FENCE)
        emit(b, op, IR_I64, 0, 0);
    else if (op == IR_ACAS)
        keep(b, WHOLE, emit(b, op, IR_I64, at, pair(b, whole(b), whole(b))));
    else if (narrow)
        keep(b, HALF, emit(b, op, IR_I32, at, half(b)));
    else
        keep(b, WHOLE, emit(b, op, IR_I64, at, whole(b)));
}

static void call(struct builder *b)
{
    ir_ref arguments = pair(b, whole(b), pair(b, whole(b), whole(b)));
    keep(b, WHOLE, emit(b, IR_CALL, IR_I64, (ir_ref)chance(b, UNIT_CALLS), arguments));
}

/* An operand of arithmetic. */
static ir_ref operand(struct builder *b, bool single)
{
    enum pool_kind raw = single ? RAW_SINGLE : RAW_DOUBLE;
    return b->pools[raw].count && chance(b, 2) ? choose(b, raw) : choose(b, single ? SINGLE : DOUBLE);
}

static void float_arithmetic(struct builder *b, bool single)
{
    enum ir_type type = single ? IR_F32 : IR_F64;
    enum ir_op op = (enum ir_op)(IR_FADD + chance(b, IR_FMAX - IR_FADD + 1));
    ir_ref x = operand(b, single), y = operand(b, single), result;
    if (op == IR_FMIN || op == IR_FMAX) {
        keep_float(b, single, emit(b, op, type, x, y));
        return;
    }
    if (op == IR_FSQRT)
        result = emit(b, op, type, x, 0);
    else if (op >= IR_FMADD && !b->options->fused)
        return;
    else
        result = emit(b, op, type, x, op >= IR_FMADD ? pair(b, y, operand(b, single)) : y);
    keep(b, single ? RAW_SINGLE : RAW_DOUBLE, result);
    keep(b, single ? SINGLE : DOUBLE, emit(b, IR_CANON, type, result, 0));
}

static void float_other(struct builder *b, bool single)
{
    enum ir_type type = single ? IR_F32 : IR_F64;
    enum pool_kind exact = single ? SINGLE : DOUBLE;
    switch (chance(b, 11)) {
    case 0: /* never of a signaling NaN: only of what arithmetic made */
        if (b->pools[single ? RAW_SINGLE : RAW_DOUBLE].count)
            keep(b, exact, emit(b, IR_CANON, type, choose(b, single ? RAW_SINGLE : RAW_DOUBLE), 0));
        break;
    case 1:
        keep_float(b, single,
                   emit(b, (enum ir_op)(IR_FSGNJ + chance(b, 3)), type, choose(b, exact), choose(b, exact)));
        break;
    case 2: {
        ir_ref holds =
            emit(b, (enum ir_op)(IR_FEQ + chance(b, 3)), type, operand(b, single), operand(b, single));
        keep(b, WHOLE, holds);
        if (chance(b, 2)) /* as guests negate it */
            keep(b, WHOLE, emit(b, IR_EQ, IR_I64, holds, ir_constant(b->ir, 0)));
        break;
    }
    case 3: keep(b, WHOLE, emit(b, IR_UNBOXED, IR_F32, choose(b, chance(b, 2) ? exact : DOUBLE), 0)); break;
    case 4: keep(b, WHOLE, emit(b, IR_BITS, IR_I64, choose(b, exact), 0)); break;
    case 5: keep_float(b, single, emit(b, IR_FROMBITS, type, single ? half(b) : whole(b), 0)); break;
    case 6:
        if (b->pools[SINGLE].count)
            keep(b, exact, emit(b, IR_CANON, type, emit(b, IR_FCVT, type, operand(b, !single), 0), 0));
        break;
    case 9: keep(b, WHOLE, emit(b, IR_GETFLAGS, IR_I64, 0, 0)); break;
    case 10: emit(b, IR_SETFLAGS, IR_I64, whole(b), 0); break;
    case 7: keep_float(b, single, emit(b, (enum ir_op)(IR_FROMW + chance(b, 4)), type, whole(b), 0)); break;
    default:
        keep(b, WHOLE, emit(b, (enum ir_op)(IR_TRUNCW + chance(b, 6)), type, operand(b, single), 0));
        break;
    }
}

static void floating(struct builder *b)
{
    if (!b->pools[SINGLE].count)
        keep_float(b, true, emit(b, IR_FROMBITS, IR_F32, half(b), 0));
    bool single = chance(b, 2);
    if (chance(b, 2))
        float_arithmetic(b, single);
    else
        float_other(b, single);
}

static uint64_t pc_of_step(const struct builder *b, unsigned step)
{
    return b->ir->pc + 4 * step;
}

static void branch(struct builder *b, unsigned step)
{
    struct ir_exit exit = {.kind = IR_EXIT_GO, .pc = pc_of_step(b, step) + 0x10000};
    if (!chance(b, 4))
        exit = (struct ir_exit){.kind = IR_EXIT_STOP, .reason = (uint8_t)chance(b, 5), .pc = exit.pc};
    ir_branch(b->ir, chance(b, 2) ? choose(b, WHOLE) : emit(b, IR_EQ, IR_I64, whole(b), whole(b)), exit);
}

static void take_step(struct builder *b, unsigned step)
{
    const struct random_unit *o = b->options;
    unsigned sort = chance(b, 32);
    if (sort < 7)
        binary(b);
    else if (sort < 11)
        shift(b);
    else if (sort < 15)
        unary(b);
    else if (sort < 17)
        comparison(b);
    else if (sort < 19)
        truth(b);
    else if (sort < 20)
        selection(b);
    else if (sort < 24)
        set(b);
    else if (sort < 25)
        get(b);
    else if (sort < 28 && o->memory)
        memory(b, step);
    else if (sort < 30 && o->floating)
        floating(b);
    else if (sort < 31 && o->calls)
        call(b);
    else if (sort == 31 && b->ir->exit_count + 2 < IR_MAX_EXITS)
        branch(b, step);
}

void random_unit(struct ir *ir, const struct ir_machine *machine, uint64_t pc, struct random_unit *options)
{
    struct builder b = {.ir = ir, .options = options};
    ir_begin(ir, machine, pc);
    if (options->loop) {
        ir_mark(ir, pc);
        ir_branch(ir, emit(&b, IR_EQ, IR_I64, ir_get(ir, machine->slot_count - 1), ir_constant(ir, 0)),
                  (struct ir_exit){.kind = IR_EXIT_STOP, .pc = pc, .reason = 1});
        ir_loop(ir);
    }
    for (unsigned slot = 0; slot < machine->pin_count; slot++)
        keep(&b, machine->slots[slot].type == IR_I64 ? WHOLE : DOUBLE, ir_get(ir, slot));
    for (unsigned step = 0; step < options->length && ir->count + IR_ROOM_INS < IR_MAX_INS; step++) {
        ir_mark(ir, pc_of_step(&b, step));
        take_step(&b, step);
    }
    set(&b);
    if (options->loop) {
        unsigned counter = machine->slot_count - 1;
        ir_poll(ir, (struct ir_exit){.kind = IR_EXIT_GO, .pc = pc_of_step(&b, options->length)});
        ir_set(ir, counter, emit(&b, IR_ADD, IR_I64, ir_get(ir, counter), ir_constant(ir, -1)));
        ir_branch(ir, ir_get(ir, counter), (struct ir_exit){.kind = IR_EXIT_GO, .pc = pc});
        set(&b);
        ir_leave(ir, (struct ir_exit){.kind = IR_EXIT_GO, .pc = pc + 0x20000}, 0);
        return;
    }
    bool indirect = chance(&b, 2);
    ir_leave(
        ir,
        (struct ir_exit){.kind = indirect ? IR_EXIT_INDIRECT : IR_EXIT_GO, .pc = indirect ? 0 : pc + 0x20000},
        indirect ? choose(&b, WHOLE) : 0);
}

static ir_ref moved(const struct ir *from, struct ir *to, const ir_ref *map, ir_ref ref)
{
    if (!ref)
        return 0;
    return ir_is_constant(ref) ? ir_constant(to, ir_constant_value(from, ref)) : map[ref - IR_BASE];
}

void unit_rebuild(const struct ir *from, struct ir *to)
{
    ir_ref map[IR_MAX_INS];
    ir_begin(to, from->machine, from->pc);
    for (unsigned i = 0; i < from->count; i++) {
        const struct ir_ins *ins = &from->ins[i];
        const struct ir_op_info *info = &ir_ops[ins->op];
        bool a_is_value = info->a == IR_KIND_R || info->a == IR_KIND_P;
        bool b_is_value = info->b == IR_KIND_R || info->b == IR_KIND_P;
        ir_ref a = a_is_value ? moved(from, to, map, ins->a) : ins->a;
        ir_ref b = b_is_value ? moved(from, to, map, ins->b) : ins->b;
        map[i] = 0;
        switch (ins->op) {
        case IR_GET: map[i] = ir_get(to, a); break;
        case IR_SET: ir_set(to, a, b); break;
        case IR_PC: ir_mark(to, ir_pc_of(from, (ir_ref)(IR_BASE + i))); break;
        case IR_LOOP: ir_loop(to); break;
        case IR_HOST:
            map[i] = ir_append(to, IR_HOST, IR_I64, a, b);
            to->spans[a] = from->spans[a];
            to->spans[a].host = map[i];
            to->span_count = a + 1u;
            break;
        case IR_POLL: ir_poll(to, from->exits[a]); break;
        case IR_BR: ir_branch(to, b, from->exits[a]); break;
        case IR_EXIT: ir_leave(to, from->exits[a], b); break;
        default: map[i] = ir_emit(to, (enum ir_op)ins->op, (enum ir_type)ins->type, a, b); break;
        }
    }
}
