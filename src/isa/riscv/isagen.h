/* isagen: what riscv.isa says, in memory. A tool of the build; it runs once.
 *
 *     riscv.isa --isagen_read--> struct isa --isagen_check--> struct isa --isagen_write--> rv_rows.h, rv_tables.inc
 *                                lines, alone                 resolved
 */
#ifndef ISA_RISCV_ISAGEN_H
#define ISA_RISCV_ISAGEN_H

#include "isa/riscv/tables.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    NAME_SIZE = 24,
    MAX_EXTENSIONS = 64, /* rv_ext sets are 64-bit words */
    MAX_CSRS = 1024,
    MAX_FIELDS = 256,
    MAX_FORMATS = 256,
    MAX_ROWS = 2048,
    MAX_SLICES = 8,
    MAX_HIDDEN = 4,
    MAX_BINDINGS = 12,
};

struct slice {
    unsigned high, low;
};

struct field {
    char name[NAME_SIZE];
    enum rv_class class;
    enum rv_slot slot;
    struct slice slice[MAX_SLICES];
    unsigned slices;
    unsigned width; /* of all slices */
    unsigned shift;
    uint32_t bias;
    bool is_signed, nonzero;
    uint32_t reserved; /* bit set of values; the field is then at most 5 bits wide */
    int omit;          /* default value or RV_NO_OMIT */
};

struct part {
    char before[sizeof((struct rv_operand){0}.before)];
    const struct field *field;
    bool optional;
};

struct format {
    char name[NAME_SIZE];
    unsigned suffixes, parts;
    struct part part[RV_OPERANDS];
    char after[sizeof((struct rv_syntax){0}.after)];
    const struct field *hidden[MAX_HIDDEN];
    unsigned hiddens;
};

/* The value of a field goes into a slot. */
struct binding {
    const struct field *field;
    enum rv_slot slot;
};

struct row {
    char name[NAME_SIZE];
    unsigned line;
    unsigned bits; /* 32, or 16 for a compressed row */
    uint32_t mask, match, nonzero;
    const struct format *format;
    unsigned ext;
    unsigned flags;
    char within_name[NAME_SIZE];
    const struct row *within;
    char expansion[64];   /* text, empty when there is none */
    const struct row *op; /* what it expands to, or itself */
    struct binding binding[MAX_BINDINGS];
    unsigned bindings;
    uint64_t fixed; /* lanes of operands that the expansion gives as constants */
    unsigned shape, syntax;
};

struct csr {
    char name[NAME_SIZE];
    unsigned number;
};

struct isa {
    const char *path;
    unsigned line; /* being read, for messages */
    char extension[MAX_EXTENSIONS][NAME_SIZE];
    unsigned extensions;
    struct csr csr[MAX_CSRS];
    unsigned csrs;
    struct field field[MAX_FIELDS];
    unsigned fields;
    struct format format[MAX_FORMATS];
    unsigned formats;
    struct row row[MAX_ROWS]; /* in the order of the text; isa_check() moves compressed rows to the end */
    unsigned rows, uncompressed;
    struct rv_shape shape[MAX_ROWS];
    unsigned shapes;
    struct rv_syntax syntax[MAX_ROWS];
    unsigned syntaxes;
};

struct flag_name {
    const char *text;
    const char *enumerator;
};
enum { FLAG_COUNT = 7 };
extern const struct flag_name flag_names[FLAG_COUNT]; /* of row flag 1 << index */

extern const unsigned slot_lane[RV_SLOT_COUNT];
extern const unsigned slot_width[RV_SLOT_COUNT];

/* Prints "file:line: message" and ends the tool with status 1. */
_Noreturn void fail(const struct isa *isa, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const struct field *isa_field(const struct isa *isa, const char *name); /* or NULL */
int isa_register(const char *name);                                     /* x register by ABI name, or -1 */
uint32_t field_bits(const struct field *field);                 /* the bits of the word that it covers */
uint32_t field_value(const struct field *field, uint32_t word); /* without bias and sign */

void isa_read(struct isa *isa, FILE *file);
void isa_check(struct isa *isa);
void write_rows(const struct isa *isa, FILE *out);
void write_tables(const struct isa *isa, FILE *out);

#endif
