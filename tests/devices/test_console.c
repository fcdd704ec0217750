/* Consoles on pipes, terminals, pseudo-terminals and files, with an event loop and a device that takes its time. */
#include "console/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE 20000 /* looks of a millisecond */

struct device {
    pthread_mutex_t lock;
    char input[200000];
    size_t length, takes; /* how much more it takes */
    unsigned columns, rows, told_of_room;
};

struct fixture {
    struct loop loop;
    struct console *console;
    struct device device;
    char commands[16];
    bool (*done)(struct fixture *);
    unsigned looks;
    int in[2], out[2]; /* pipes */
    char output[400000];
    size_t output_length;
};

/* ---- The device ---- */

static size_t on_receive(void *object, const uint8_t *data, size_t length)
{
    struct device *d = object;
    size_t taken = length < d->takes ? length : d->takes;
    assert_true(d->length + taken <= sizeof(d->input));
    memcpy(d->input + d->length, data, taken);
    d->length += taken;
    d->takes -= taken;
    return taken;
}

static void on_writable(void *object)
{
    ((struct device *)object)->told_of_room++;
}

static void on_resized(void *object, unsigned columns, unsigned rows)
{
    struct device *d = object;
    d->columns = columns;
    d->rows = rows;
}

static const struct console_client_ops client_ops = {
    .receive = on_receive, .writable = on_writable, .resized = on_resized};

static void on_command(void *object, uint8_t command)
{
    struct fixture *f = object;
    f->commands[strlen(f->commands)] = (char)command;
}

/* ---- Running ---- */

static uint64_t look_often(void *object)
{
    (void)object;
    return 1000000;
}

static void look(void *object)
{
    struct fixture *f = object;
    if (f->done(f) || ++f->looks > PATIENCE)
        loop_stop(&f->loop);
}

static void run_until(struct fixture *f, bool (*done)(struct fixture *))
{
    f->done = done;
    f->looks = 0;
    f->loop.stopped = false;
    loop_run(&f->loop);
    assert_true(done(f));
}

/* Some turns of the loop, for what must not happen. */
static bool a_while_passed(struct fixture *f)
{
    return f->looks >= 20;
}

static int start(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&f->device.lock, NULL);
    f->device.takes = SIZE_MAX;
    f->loop = (struct loop){0};
    int status =
        loop_init(&f->loop, NULL) || pipe(f->in) || pipe(f->out) || fcntl(f->out[0], F_SETFL, O_NONBLOCK);
    f->loop.timeout = look_often;
    f->loop.expire = look;
    f->loop.object = f;
    return status;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    if (f->console)
        console_free(f->console);
    assert_null(f->loop.first);
    loop_release(&f->loop);
    for (int i = 0; i < 2; i++) {
        close(f->in[i]);
        close(f->out[i]);
    }
    free(f);
    return 0;
}

static void attach(struct fixture *f)
{
    console_attach(f->console, &client_ops, &f->device, &f->device.lock);
}

static void open_pipes(struct fixture *f)
{
    assert_int_equal(console_open_stdio(&f->console, &f->loop, f->in[0], f->out[1], NULL, NULL), 0);
    attach(f);
}

static size_t say(struct fixture *f, const char *text, size_t length)
{
    pthread_mutex_lock(&f->device.lock);
    size_t taken = console_write(f->console, (const uint8_t *)text, length);
    pthread_mutex_unlock(&f->device.lock);
    return taken;
}

static void take_more(struct fixture *f, size_t more)
{
    pthread_mutex_lock(&f->device.lock);
    f->device.takes = more;
    console_resume(f->console);
    pthread_mutex_unlock(&f->device.lock);
}

static void read_output(struct fixture *f, int fd)
{
    ssize_t length = read(fd, f->output + f->output_length, sizeof(f->output) - f->output_length);
    f->output_length += length > 0 ? (size_t)length : 0;
}

/* ---- Pipes ---- */

static bool five_came(struct fixture *f)
{
    return f->device.length >= 5;
}

static bool ten_came(struct fixture *f)
{
    return f->device.length >= 10;
}

static void input_waits_for_the_device(void **state)
{
    struct fixture *f = *state;
    f->device.takes = 5;
    open_pipes(f);
    assert_int_equal(write(f->in[1], "0123456789", 10), 10);
    close(f->in[1]); /* a writer that is gone is no reason to run in circles */
    f->in[1] = -1;
    run_until(f, five_came);
    run_until(f, a_while_passed);
    assert_true(f->looks < 100);
    assert_int_equal(f->device.length, 5);
    take_more(f, 100);
    run_until(f, ten_came);
    assert_memory_equal(f->device.input, "0123456789", 10);
    run_until(f, a_while_passed);
}

static bool all_was_read(struct fixture *f)
{
    read_output(f, f->out[0]);
    return f->output_length == sizeof(f->output) / 2;
}

static void a_slow_reader_holds_output_up(void **state)
{
    struct fixture *f = *state;
    static char text[200000];
    size_t said = 0;
    open_pipes(f);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i % 251);
    while (said < sizeof(text)) {
        size_t taken = say(f, text + said, sizeof(text) - said);
        said += taken;
        run_until(f, a_while_passed);
        if (!taken)
            read_output(f, f->out[0]);
    }
    assert_true(f->device.told_of_room > 0);
    run_until(f, all_was_read);
    assert_memory_equal(f->output, text, sizeof(text));
}

static void *say_much(void *object)
{
    struct fixture *f = object;
    char line[16];
    for (unsigned i = 0; i < sizeof(f->output) / 32; i++) {
        size_t said = 0;
        snprintf(line, sizeof(line), "%15u", i);
        while (said < sizeof(line))
            said += say(f, line + said, sizeof(line) - said);
        if (i % 1000 == 0)
            take_more(f, 100);
    }
    return NULL;
}

static void other_threads_write(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    open_pipes(f);
    f->device.takes = 1;
    assert_int_equal(write(f->in[1], "0123456789", 10), 10);
    assert_int_equal(pthread_create(&thread, NULL, say_much, f), 0);
    run_until(f, all_was_read);
    pthread_join(thread, NULL);
    run_until(f, ten_came);
    for (unsigned i = 0; i < sizeof(f->output) / 32; i++)
        assert_int_equal(strtoul(f->output + 16 * i, NULL, 10), i);
}

static void output_without_a_reader_is_lost(void **state)
{
    struct fixture *f = *state;
    open_pipes(f);
    close(f->out[0]);
    f->out[0] = -1;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(say(f, "0123456789", 10), 10);
        run_until(f, a_while_passed);
    }
}

static void last_words_are_written(void **state)
{
    struct fixture *f = *state;
    open_pipes(f);
    say(f, "goodbye", 7);
    console_free(f->console);
    f->console = NULL;
    read_output(f, f->out[0]);
    assert_int_equal(f->output_length, 7);
    assert_memory_equal(f->output, "goodbye", 7);
}

/* ---- Terminals ---- */

struct terminal {
    int master, slave;
    struct termios before;
};

static void terminal_open(struct terminal *t)
{
    t->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    assert_true(t->master >= 0 && !grantpt(t->master) && !unlockpt(t->master));
    t->slave = open(ptsname(t->master), O_RDWR | O_NOCTTY);
    assert_true(t->slave >= 0);
    assert_int_equal(tcgetattr(t->slave, &t->before), 0);
}

static void terminal_close(struct terminal *t)
{
    close(t->master);
    close(t->slave);
}

static bool is_raw(const struct terminal *t)
{
    struct termios now;
    assert_int_equal(tcgetattr(t->slave, &now), 0);
    return !(now.c_lflag & (ICANON | ISIG | ECHO)) && !(now.c_oflag & OPOST) && !(now.c_iflag & ICRNL);
}

static bool three_commands(struct fixture *f)
{
    return strlen(f->commands) == 3;
}

static void a_terminal_has_an_escape_key(void **state)
{
    struct fixture *f = *state;
    struct terminal t;
    struct console_escape escape = {.key = CONSOLE_ESCAPE_KEY, .command = on_command, .object = f};
    terminal_open(&t);
    assert_false(is_raw(&t));
    assert_int_equal(console_open_stdio(&f->console, &f->loop, t.slave, t.slave, &escape, NULL), 0);
    attach(f);
    assert_true(is_raw(&t));
    assert_int_equal(fcntl(t.slave, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(write(t.master, "a\003\r\035qb\035", 7), 7);
    run_until(f, a_while_passed);
    assert_int_equal(write(t.master, "\035c\035xd\035?", 7), 7);
    run_until(f, three_commands);
    assert_string_equal(f->commands, "qx?");
    assert_memory_equal(f->device.input, "a\003\rb\035cd", 7);
    assert_int_equal(f->device.length, 7);
    say(f, "a\nb", 3);
    run_until(f, a_while_passed);
    read_output(f, t.master);
    assert_memory_equal(f->output, "a\nb", 3);
    console_free(f->console);
    f->console = NULL;
    assert_false(is_raw(&t));
    terminal_close(&t);
}

static bool window_is_80_by_25(struct fixture *f)
{
    return f->device.columns == 80 && f->device.rows == 25;
}

static bool window_is_132_by_50(struct fixture *f)
{
    return f->device.columns == 132 && f->device.rows == 50;
}

static void a_terminal_has_a_window(void **state)
{
    struct fixture *f = *state;
    struct terminal t;
    terminal_open(&t);
    assert_int_equal(ioctl(t.master, TIOCSWINSZ, &(struct winsize){.ws_col = 80, .ws_row = 25}), 0);
    assert_int_equal(console_open_stdio(&f->console, &f->loop, t.slave, t.slave, NULL, NULL), 0);
    attach(f);
    run_until(f, window_is_80_by_25);
    assert_int_equal(ioctl(t.master, TIOCSWINSZ, &(struct winsize){.ws_col = 132, .ws_row = 50}), 0);
    kill(getpid(), SIGWINCH);
    run_until(f, window_is_132_by_50);
    assert_int_equal(write(t.master, "\035q", 2), 2);
    run_until(f, a_while_passed);
    assert_memory_equal(f->device.input, "\035q", 2);
    console_free(f->console);
    f->console = NULL;
    terminal_close(&t);
}

/* ---- Pseudo-terminals and files ---- */

static int open_raw(const char *name)
{
    struct termios raw;
    int fd = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(tcgetattr(fd, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(fd, TCSANOW, &raw), 0);
    return fd;
}

static void a_pseudo_terminal_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(console_open_pty(&f->console, &f->loop, NULL), 0);
    attach(f);
    for (int i = 0; i < 3; i++) {
        for (int n = 0; n < 100; n++)
            assert_int_equal(say(f, "no one is there", 15), 15);
        run_until(f, a_while_passed);
        assert_true(f->looks < 100);
        f->device.length = f->output_length = 0;
        int fd = open_raw(console_name(f->console));
        say(f, "hello", 5);
        assert_int_equal(write(fd, "world", 5), 5);
        run_until(f, five_came);
        run_until(f, a_while_passed);
        read_output(f, fd);
        assert_memory_equal(f->device.input, "world", 5);
        assert_memory_equal(f->output + f->output_length - 5, "hello", 5);
        close(fd);
    }
}

static void a_file_gets_the_output(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/guise-console-XXXXXX";
    struct guise_error err;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "old contents", 12), 12);
    assert_int_equal(console_open_file(&f->console, &f->loop, path, NULL), 0);
    attach(f);
    say(f, "new", 3);
    run_until(f, a_while_passed);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    read_output(f, fd);
    assert_int_equal(f->output_length, 3);
    assert_memory_equal(f->output, "new", 3);
    close(fd);
    unlink(path);
    struct console *none;
    assert_int_equal(console_open_file(&none, &f->loop, "/nonexistent/file", &err), GUISE_E_IO);
    assert_non_null(strstr(err.text, "/nonexistent/file"));
}

static void nothing_takes_everything(void **state)
{
    struct fixture *f = *state;
    static char text[300000];
    assert_int_equal(console_open_stdio(&f->console, &f->loop, -1, -1, NULL, NULL), 0);
    attach(f);
    for (int i = 0; i < 3; i++) {
        assert_true(say(f, text, sizeof(text)) > 0);
        unsigned told = f->device.told_of_room;
        run_until(f, a_while_passed);
        assert_int_equal(f->device.told_of_room, told + 1);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(input_waits_for_the_device), TEST(a_slow_reader_holds_output_up),
        TEST(other_threads_write),        TEST(output_without_a_reader_is_lost),
        TEST(last_words_are_written),     TEST(a_terminal_has_an_escape_key),
        TEST(a_terminal_has_a_window),    TEST(a_pseudo_terminal_comes_and_goes),
        TEST(a_file_gets_the_output),     TEST(nothing_takes_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
