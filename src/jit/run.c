/* The reference execution of a unit. */
#include "jit/evaluate.h"

#include <string.h>

#include "host/fpu.h"

#define BOX         0xffffffff00000000u
#define CANONICAL_S 0x7fc00000u
#define CANONICAL_D 0x7ff8000000000000u

struct run {
    const struct ir *ir;
    const struct ir_world *world;
    struct ir_ending end;
    bool ended;
    uint64_t *slots;
    unsigned next;                /* index of the instruction to execute */
    unsigned head;                /* behind the LOOP; 0: there is none, or it is still to come */
    uint64_t entry[IR_MAX_SLOTS]; /* the slots' values at the unit's entry, or at the LOOP */
    uint64_t values[IR_MAX_INS];
};

static const struct ir_ins *instruction(const struct run *r, ir_ref ref)
{
    return &r->ir->ins[ref - IR_BASE];
}

static uint64_t value_of(const struct run *r, ir_ref ref)
{
    if (!ref)
        return 0;
    return ir_is_constant(ref) ? (uint64_t)ir_constant_value(r->ir, ref) : r->values[ref - IR_BASE];
}

/* The result of an i32 operation: its upper half is whatever the world says. */
static uint64_t narrow_result(const struct run *r, const struct ir_ins *ins, uint64_t value)
{
    return ins->type == IR_I32 ? (uint32_t)value | (uint64_t)r->world->upper << 32 : value;
}

static void end(struct run *r, enum ir_ending_kind kind, uint64_t pc)
{
    r->end.kind = kind;
    r->end.pc = pc;
    r->ended = true;
}

static void fault(struct run *r, uint64_t address)
{
    r->end.address = address;
    end(r, IR_FAULTED, ir_pc_of(r->ir, r->end.at));
}

static void leave(struct run *r, unsigned index, uint64_t target)
{
    const struct ir_exit *exit = &r->ir->exits[index];
    bool indirect =
        exit->kind == IR_EXIT_INDIRECT || exit->kind == IR_EXIT_INDIRECT_CALL || exit->kind == IR_EXIT_RETURN;
    if (r->head && exit->kind == IR_EXIT_GO && exit->pc == r->ir->pc) {
        r->next = r->head;
        memcpy(r->values, r->slots,
               r->ir->machine->pin_count * sizeof(*r->slots)); /* the GETs of pinned ones */
        memcpy(r->entry, r->slots, r->ir->machine->slot_count * sizeof(*r->slots));
        return;
    }
    r->end.exit = index;
    end(r, IR_LEFT, indirect ? target : exit->pc);
}

/* Memory */

static uint64_t load(struct run *r, const struct ir_ins *ins, unsigned size)
{
    uint64_t value = 0, address = value_of(r, ins->a);
    if (!r->world->load(r->world->context, address, size, &value))
        fault(r, address);
    return value;
}

static void store(struct run *r, const struct ir_ins *ins, unsigned size, uint64_t value)
{
    uint64_t address = value_of(r, ins->a);
    if (size < 8)
        value &= (UINT64_C(1) << 8 * size) - 1;
    if (!r->world->store(r->world->context, address, size, value))
        fault(r, address);
}

/* Host addresses are guest addresses here. */
static uint64_t host_address(struct run *r, const struct ir_ins *ins)
{
    const struct ir_span *s = &r->ir->spans[ins->a];
    uint64_t address = value_of(r, ins->b);
    if (r->world->reach && !r->world->reach(r->world->context, address + (uint64_t)(int64_t)s->low,
                                            (unsigned)(s->high - s->low), s->writes))
        end(r, IR_LEFT, s->pc);
    return address;
}

static void zero(struct run *r, const struct ir_ins *ins)
{
    uint64_t address = value_of(r, ins->a);
    for (unsigned i = 0; i < IR_ZERO_BYTES && !r->ended; i += 8)
        if (!r->world->store(r->world->context, address + i, 8, 0))
            fault(r, address + i);
}

static uint64_t new_value(unsigned op, int64_t old, int64_t operand)
{
    switch (op) {
    case IR_AADD: return (uint64_t)old + (uint64_t)operand;
    case IR_AAND: return (uint64_t)(old & operand);
    case IR_AOR: return (uint64_t)(old | operand);
    case IR_AXOR: return (uint64_t)(old ^ operand);
    case IR_AMIN: return (uint64_t)(old < operand ? old : operand);
    case IR_AMAX: return (uint64_t)(old > operand ? old : operand);
    /* Sign extension keeps unsigned order. */
    case IR_AMINU: return (uint64_t)old < (uint64_t)operand ? (uint64_t)old : (uint64_t)operand;
    case IR_AMAXU: return (uint64_t)old > (uint64_t)operand ? (uint64_t)old : (uint64_t)operand;
    default: return (uint64_t)operand;
    }
}

static uint64_t atomic(struct run *r, const struct ir_ins *ins)
{
    unsigned size = ins->type == IR_I32 ? 4 : 8;
    uint64_t old = load(r, ins, size);
    if (r->ended)
        return 0;
    if (ins->op == IR_ACAS) {
        const struct ir_ins *pair = instruction(r, ins->b);
        uint64_t difference = old ^ value_of(r, pair->a);
        bool equal = size == 4 ? !(uint32_t)difference : !difference;
        store(r, ins, size, equal ? value_of(r, pair->b) : old);
        return narrow_result(r, ins, old);
    }
    uint64_t operand = value_of(r, ins->b);
    int64_t left = size == 4 ? (int32_t)old : (int64_t)old;
    int64_t right = size == 4 ? (int32_t)operand : (int64_t)operand;
    store(r, ins, size, new_value(ins->op, left, right));
    return narrow_result(r, ins, old);
}

static uint64_t call(struct run *r, const struct ir_ins *ins)
{
    uint64_t arguments[JIT_CALL_VALUES] = {0};
    ir_ref rest = ins->b;
    for (unsigned i = 0; i < JIT_CALL_VALUES && rest; i++) {
        bool pair = !ir_is_constant(rest) && instruction(r, rest)->op == IR_PAIR;
        arguments[i] = value_of(r, pair ? instruction(r, rest)->a : rest);
        rest = pair ? instruction(r, rest)->b : 0;
    }
    if (!r->world->calls) {
        end(r, IR_UNABLE, 0);
        return 0;
    }
    return r->world->calls[ins->a](arguments[0], arguments[1], arguments[2]);
}

/* Floating point. Single precision has functions ending in _s, double in _d. */

static float as_s(uint64_t bits)
{
    float value;
    uint32_t low = (uint32_t)bits;
    memcpy(&value, &low, sizeof(value));
    return value;
}

static double as_d(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint64_t bits_s(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits | BOX;
}

static uint64_t bits_d(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static bool is_nan(enum ir_type type, uint64_t bits)
{
    return type == IR_F32 ? (bits & 0x7fffffff) > 0x7f800000
                          : (bits & INT64_MAX) > UINT64_C(0x7ff0000000000000);
}

static uint64_t canonical(enum ir_type type)
{
    return type == IR_F32 ? BOX | CANONICAL_S : CANONICAL_D;
}

static bool less(enum ir_type type, uint64_t a, uint64_t b)
{
    return type == IR_F32 ? fpu_quiet_less_s(as_s(a), as_s(b)) : fpu_quiet_less_d(as_d(a), as_d(b));
}

/* The comparison comes first: it raises invalid for a signaling NaN. Equal operands differ at most in a zero's sign. */
static uint64_t extreme(enum ir_type type, uint64_t a, uint64_t b, bool max)
{
    bool a_less = less(type, a, b), b_less = less(type, b, a);
    if (is_nan(type, a))
        return is_nan(type, b) ? canonical(type) : b;
    if (is_nan(type, b))
        return a;
    if (a_less || b_less)
        return a_less != max ? a : b;
    return max ? a & b : a | b;
}

static uint64_t with_sign(const struct ir_ins *ins, uint64_t a, uint64_t b)
{
    uint64_t sign = ins->type == IR_F32 ? UINT64_C(1) << 31 : UINT64_C(1) << 63;
    switch (ins->op) {
    case IR_FSGNJ: return (a & ~sign) | (b & sign);
    case IR_FSGNJN: return (a & ~sign) | (~b & sign);
    default: return a ^ (b & sign);
    }
}

static uint64_t arithmetic(const struct ir_ins *ins, uint64_t a, uint64_t b)
{
    bool s = ins->type == IR_F32;
    switch (ins->op) {
    case IR_FADD: return s ? bits_s(fpu_add_s(as_s(a), as_s(b))) : bits_d(fpu_add_d(as_d(a), as_d(b)));
    case IR_FSUB: return s ? bits_s(fpu_sub_s(as_s(a), as_s(b))) : bits_d(fpu_sub_d(as_d(a), as_d(b)));
    case IR_FMUL: return s ? bits_s(fpu_mul_s(as_s(a), as_s(b))) : bits_d(fpu_mul_d(as_d(a), as_d(b)));
    case IR_FDIV: return s ? bits_s(fpu_div_s(as_s(a), as_s(b))) : bits_d(fpu_div_d(as_d(a), as_d(b)));
    default: return s ? bits_s(fpu_sqrt_s(as_s(a))) : bits_d(fpu_sqrt_d(as_d(a)));
    }
}

static float fused_s(unsigned op, float a, float b, float c)
{
    switch (op) {
    case IR_FMADD: return fpu_madd_s(a, b, c);
    case IR_FMSUB: return fpu_msub_s(a, b, c);
    case IR_FNMSUB: return fpu_nmsub_s(a, b, c);
    default: return fpu_nmadd_s(a, b, c);
    }
}

static double fused_d(unsigned op, double a, double b, double c)
{
    switch (op) {
    case IR_FMADD: return fpu_madd_d(a, b, c);
    case IR_FMSUB: return fpu_msub_d(a, b, c);
    case IR_FNMSUB: return fpu_nmsub_d(a, b, c);
    default: return fpu_nmadd_d(a, b, c);
    }
}

static uint64_t fused(struct run *r, const struct ir_ins *ins)
{
    const struct ir_ins *pair = instruction(r, ins->b);
    uint64_t a = value_of(r, ins->a), b = value_of(r, pair->a), c = value_of(r, pair->b);
    if (!fpu_has_fma()) {
        end(r, IR_UNABLE, 0);
        return 0;
    }
    if (ins->type == IR_F32)
        return bits_s(fused_s(ins->op, as_s(a), as_s(b), as_s(c)));
    return bits_d(fused_d(ins->op, as_d(a), as_d(b), as_d(c)));
}

static bool compare(const struct ir_ins *ins, uint64_t a, uint64_t b)
{
    bool s = ins->type == IR_F32;
    switch (ins->op) {
    case IR_FEQ: return s ? fpu_equal_s(as_s(a), as_s(b)) : fpu_equal_d(as_d(a), as_d(b));
    case IR_FLT: return s ? fpu_less_s(as_s(a), as_s(b)) : fpu_less_d(as_d(a), as_d(b));
    default: return s ? fpu_less_equal_s(as_s(a), as_s(b)) : fpu_less_equal_d(as_d(a), as_d(b));
    }
}

static uint64_t from_signed(const struct ir_ins *ins, int64_t value)
{
    return ins->type == IR_F32 ? bits_s(fpu_s_from_l(value)) : bits_d(fpu_d_from_l(value));
}

/* Half of a number of 64 bits, its lost bit kept sticky, rounds as the whole does; doubling is exact. */
static uint64_t from_unsigned(const struct ir_ins *ins, uint64_t value)
{
    if (!(value >> 63))
        return from_signed(ins, (int64_t)value);
    uint64_t half = from_signed(ins, (int64_t)(value >> 1 | (value & 1)));
    return ins->type == IR_F32 ? bits_s(fpu_add_s(as_s(half), as_s(half)))
                               : bits_d(fpu_add_d(as_d(half), as_d(half)));
}

/* The host answers with the smallest integer to all that does not fit; positive ones and NaN want the largest. */
static int64_t saturated(int64_t result, int64_t smallest, double value)
{
    return result == smallest && !fpu_quiet_less_d(value, 0) ? -1 - smallest : result;
}

/* `limit` is 2^32 or 2^64; of what does not fit, the host's conversion of a NaN raises invalid. */
static uint64_t to_unsigned(double value, double limit, uint64_t largest)
{
    if (fpu_quiet_less_d(-1, value) && fpu_quiet_less_d(value, limit)) {
        bool high = !fpu_quiet_less_d(value, 0x1p63);
        uint64_t low = (uint64_t)fpu_trunc_l_d(high ? fpu_sub_d(value, 0x1p63) : value);
        return high ? low + (UINT64_C(1) << 63) : low;
    }
    (void)fpu_trunc_l_d(fpu_nan_d());
    return fpu_quiet_less_d(value, 0) ? 0 : largest;
}

/* A single is widened first, which is exact. */
static uint64_t to_integer(const struct ir_ins *ins, uint64_t a)
{
    double value = ins->type == IR_F32 ? fpu_d_from_s(as_s(a)) : as_d(a);
    switch (ins->op) {
    case IR_TRUNCW: return (uint64_t)saturated(fpu_trunc_w_d(value), INT32_MIN, value);
    case IR_TRUNCL: return (uint64_t)saturated(fpu_trunc_l_d(value), INT64_MIN, value);
    case IR_ROUNDW: return (uint64_t)saturated(fpu_round_w_d(value), INT32_MIN, value);
    case IR_ROUNDL: return (uint64_t)saturated(fpu_round_l_d(value), INT64_MIN, value);
    case IR_TRUNCWU: return (uint64_t)(int32_t)to_unsigned(value, 0x1p32, UINT32_MAX);
    default: return to_unsigned(value, 0x1p64, UINT64_MAX);
    }
}

static uint64_t floating(struct run *r, const struct ir_ins *ins)
{
    enum ir_type type = (enum ir_type)ins->type;
    uint64_t a = value_of(r, ins->a);
    switch (ins->op) {
    case IR_FADD:
    case IR_FSUB:
    case IR_FMUL:
    case IR_FDIV:
    case IR_FSQRT: return arithmetic(ins, a, value_of(r, ins->b));
    case IR_FMADD:
    case IR_FMSUB:
    case IR_FNMSUB:
    case IR_FNMADD: return fused(r, ins);
    case IR_FMIN:
    case IR_FMAX: return extreme(type, a, value_of(r, ins->b), ins->op == IR_FMAX);
    case IR_CANON: return ir_canonical(type, a);
    case IR_BOX: return a | BOX;
    case IR_FSGNJ:
    case IR_FSGNJN:
    case IR_FSGNJX: return with_sign(ins, a, value_of(r, ins->b));
    case IR_FEQ:
    case IR_FLT:
    case IR_FLE: return compare(ins, a, value_of(r, ins->b));
    case IR_UNBOXED: return a < BOX;
    case IR_BITS: return a;
    case IR_FROMBITS: return type == IR_F32 ? a | BOX : a;
    case IR_FCVT: return type == IR_F32 ? bits_s(fpu_s_from_d(as_d(a))) : bits_d(fpu_d_from_s(as_s(a)));
    case IR_FROMW: return from_signed(ins, (int32_t)a);
    case IR_FROMWU: return from_signed(ins, (uint32_t)a);
    case IR_FROML: return from_signed(ins, (int64_t)a);
    case IR_FROMLU: return from_unsigned(ins, a);
    default: return to_integer(ins, a);
    }
}

static uint64_t integer(struct run *r, const struct ir_ins *ins)
{
    if (ins->op == IR_SELECT) {
        const struct ir_ins *pair = instruction(r, ins->b);
        return value_of(r, value_of(r, ins->a) ? pair->a : pair->b);
    }
    int64_t result = 0;
    if (!ir_evaluate((enum ir_op)ins->op, (enum ir_type)ins->type, (int64_t)value_of(r, ins->a),
                     (int64_t)value_of(r, ins->b), &result))
        end(r, IR_UNABLE, 0);
    bool whole = ins->op >= IR_CLZ && ins->op != IR_BSWAP; /* defined in all 64 bits */
    return whole ? (uint64_t)result : narrow_result(r, ins, (uint64_t)result);
}

static void poll(struct run *r, unsigned index)
{
    if (!r->world->stop)
        return;
    r->end.exit = index;
    end(r, IR_LEFT, r->ir->exits[index].pc);
}

static uint64_t step(struct run *r, const struct ir_ins *ins)
{
    switch (ins->op) {
    case IR_NOP:
    case IR_PC:
    case IR_PAIR:
    case IR_FENCE: return 0;
    case IR_POLL: poll(r, ins->a); return 0;
    case IR_LOOP: r->head = r->next; return 0;
    case IR_GETFLAGS: return fpu_flags();
    case IR_SETFLAGS: fpu_set_flags((unsigned)value_of(r, ins->a) & FPU_ALL); return 0;
    case IR_GET: return r->entry[ins->a];
    case IR_SET: r->slots[ins->a] = value_of(r, ins->b); return 0;
    case IR_EXIT: leave(r, ins->a, value_of(r, ins->b)); return 0;
    case IR_BR:
        if (value_of(r, ins->b))
            leave(r, ins->a, 0);
        return 0;
    case IR_LDS8: return (uint64_t)(int8_t)load(r, ins, 1);
    case IR_LDU8: return load(r, ins, 1);
    case IR_LDS16: return (uint64_t)(int16_t)load(r, ins, 2);
    case IR_LDU16: return load(r, ins, 2);
    case IR_LDS32: return (uint64_t)(int32_t)load(r, ins, 4);
    case IR_LDU32: return load(r, ins, 4);
    case IR_LD64: return load(r, ins, 8);
    case IR_LDF: return ins->type == IR_F32 ? load(r, ins, 4) | BOX : load(r, ins, 8);
    case IR_ST8: store(r, ins, 1, value_of(r, ins->b)); return 0;
    case IR_ST16: store(r, ins, 2, value_of(r, ins->b)); return 0;
    case IR_ST32: store(r, ins, 4, value_of(r, ins->b)); return 0;
    case IR_ST64: store(r, ins, 8, value_of(r, ins->b)); return 0;
    case IR_STF: store(r, ins, ins->type == IR_F32 ? 4 : 8, value_of(r, ins->b)); return 0;
    case IR_HOST: return host_address(r, ins);
    case IR_ZERO: zero(r, ins); return 0;
    case IR_CALL:
    case IR_CALLF: return call(r, ins);
    default: break;
    }
    if (ins->op >= IR_AXCHG && ins->op <= IR_ACAS)
        return atomic(r, ins);
    return ins->op <= IR_SELECT ? integer(r, ins) : floating(r, ins);
}

/* A unit ends with an EXIT; one that does not has been left unfinished, and is left nowhere. */
struct ir_ending ir_run(const struct ir *ir, const struct ir_world *world, uint64_t *slots)
{
    struct run r;
    r.ir = ir;
    r.world = world;
    r.slots = slots;
    r.ended = false;
    r.end = (struct ir_ending){.kind = IR_UNABLE};
    memcpy(r.entry, slots, ir->machine->slot_count * sizeof(*slots));
    r.next = r.head = 0;
    while (r.next < ir->count && !r.ended) {
        unsigned i = r.next++;
        r.end.at = (ir_ref)(IR_BASE + i);
        r.values[i] = step(&r, &ir->ins[i]);
    }
    return r.end;
}
