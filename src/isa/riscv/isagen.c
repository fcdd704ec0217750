/* isagen RISCV.ISA ROWS.H TABLES.INC: makes C tables from the description of the instruction set. */
#include "isa/riscv/isagen.h"

#include <stdarg.h>
#include <stdlib.h>

void fail(const struct isa *isa, unsigned line, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s:%u: ", isa->path, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void write_file(const char *path, const struct isa *isa, void (*write)(const struct isa *, FILE *))
{
    FILE *out = open_file(path, "w");
    write(isa, out);
    if (ferror(out) | fclose(out)) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: isagen RISCV.ISA ROWS.H TABLES.INC\n");
        return 2;
    }
    struct isa *isa = calloc(1, sizeof *isa);
    if (!isa)
        return 1;
    isa->path = argv[1];
    FILE *file = open_file(argv[1], "r");
    isa_read(isa, file);
    fclose(file);
    isa_check(isa);
    write_file(argv[2], isa, write_rows);
    write_file(argv[3], isa, write_tables);
    free(isa);
    return 0;
}
