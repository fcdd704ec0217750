/* Where a generated program keeps its things: guest addresses, and offsets from gp, which always points at its own data.
 *
 * The output of a program is: a header {magic, events seen, bytes of records, 0}, min(events, EVENTS_KEPT) events, the
 * records of the checkpoints, and the final contents of the area. All numbers are little-endian.
 *   event   u32 signal, u32 si_code, u64 pc, u64 si_addr, u64 fcsr
 *   record  x1..x31, f0..f31, fcsr, hash of the area, all u64 */
#ifndef DIFF_LAYOUT_H
#define DIFF_LAYOUT_H

#define TEXT_BASE   UINT64_C(0x10000000)
#define HOLE_BASE   UINT64_C(0x60000000) /* nothing is mapped here */
#define DATA_BASE   UINT64_C(0x20000000)
#define RECORD_BASE UINT64_C(0x28000000)

#define GP_VALUE    (DATA_BASE + 0x800)
#define AREA_BASE   (DATA_BASE + 0x2c00) /* loads and stores of the stream go here; a page ends in the middle */
#define ALTSTACK    (DATA_BASE + 0x10000)
#define EVENTS_BASE (DATA_BASE + 0x20000)

enum {
    DATA_SIZE = 0x30000,
    AREA_SIZE = 2048,
    ALTSTACK_SIZE = 0x10000,
    EVENT_SIZE = 32,
    EVENTS_KEPT = 2048,
    RECORD_FCSR = 63 * 8,
    RECORD_HASH = 64 * 8,
    RECORD_SIZE = 65 * 8,

    /* Offsets from gp. */
    POOL_OFFSET = -2048, /* values that registers are refreshed from */
    POOL_COUNT = 384,    /* a quarter for each kind of value */
    SLOT_SCRATCH = 1024, /* registers saved by the checkpoint routine, by number */
    SLOT_CURSOR = 1280,  /* where the next record goes */
    SLOT_PASSES = 1288,  /* still to do */
    SLOT_FACTOR = 1296,  /* of the hash */
    SLOT_STACK = 1304,   /* stack_t */
    SLOT_ACTION = 1328,  /* struct sigaction of the kernel */
    SLOT_HEADER = 1352,  /* of the output */
    SLOT_EVENTS = SLOT_HEADER + 8,

    EXIT_WILD = 98,  /* status: control went outside the program */
    EXIT_WRITE = 97, /* status: the output could not be written */
};

#define OUTPUT_MAGIC UINT64_C(0x31464649445652)

#endif
