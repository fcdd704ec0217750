/* The futex system call itself, and robust lists.
 * reference: native qemu-user 7.2 knows neither priority inheritance nor futex_waitv
 */
#include "test.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>

static long futex(void *word, int op, unsigned value, const void *timeout_or_value2, void *word2,
                  unsigned value3)
{
    return syscall(SYS_futex, word, op, value, timeout_or_value2, word2, value3);
}

static int word, word2;
static volatile pid_t sleeper_tid[8];
static long sleeper_result[8];

struct sleeper {
    int *word;
    int op;
    unsigned mask;
    int index;
};

static void *sleep_on(void *arg)
{
    struct sleeper *s = arg;
    sleeper_tid[s->index] = gettid();
    long result = futex(s->word, s->op, 0, NULL, NULL, s->mask);
    sleeper_result[s->index] = result == 0 ? 0 : errno;
    return NULL;
}

static pthread_t threads[8];
static struct sleeper sleepers[8];

static void put_to_sleep(int first, int count, int *where, int op, unsigned mask)
{
    for (int i = first; i < first + count; i++) {
        sleepers[i] = (struct sleeper){where, op, mask, i};
        sleeper_tid[i] = 0;
        sleeper_result[i] = -1;
        pthread_create(&threads[i], NULL, sleep_on, &sleepers[i]);
    }
    for (int i = first; i < first + count; i++) {
        while (!sleeper_tid[i])
            sched_yield();
        wait_asleep(getpid(), sleeper_tid[i]);
    }
}

static long join(int first, int count)
{
    long sum = 0;
    for (int i = first; i < first + count; i++) {
        pthread_join(threads[i], NULL);
        sum += sleeper_result[i];
    }
    return sum;
}

static void test_wait_wake(void)
{
    struct timespec t = {0, 20000000}, bad = {0, 1000000000}, negative = {-1, 0}, absolute;
    ERR("value differs", futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
    ERR("time out", futex(&word, FUTEX_WAIT, 0, &t, NULL, 0), ETIMEDOUT);
    ERR("bad nanoseconds", futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
    ERR("negative time", futex(&word, FUTEX_WAIT, 0, &negative, NULL, 0), EINVAL);
    clock_gettime(CLOCK_REALTIME, &absolute);
    ERR("absolute REALTIME", futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &absolute, NULL, ~0U),
        ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &absolute);
    ERR("absolute MONOTONIC", futex(&word, FUTEX_WAIT_BITSET, 0, &absolute, NULL, ~0U), ETIMEDOUT);
    ERR("empty bit set", futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    ERR("misaligned word", futex((char *)&word + 2, FUTEX_WAIT, 0, &t, NULL, 0), EINVAL);
    ERR("NULL word", futex(NULL, FUTEX_WAIT, 0, &t, NULL, 0), EFAULT);
    ERR("kernel's word", futex((void *)0xffffffff80000000, FUTEX_WAIT, 0, &t, NULL, 0), EFAULT);
    ERR("bad timeout pointer", futex(&word, FUTEX_WAIT, 0, (void *)16, NULL, 0), EFAULT);
    ERR("unknown operation", futex(&word, 99, 0, NULL, NULL, 0), ENOSYS);
    EQ("wake nobody", futex(&word, FUTEX_WAKE, 5, NULL, NULL, 0), 0);
    put_to_sleep(0, 4, &word, FUTEX_WAIT, 0);
    EQ("wake one", futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    EQ("wake the rest", futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0), 3);
    EQ("all returned 0", join(0, 4), 0);
    put_to_sleep(0, 2, &word, FUTEX_WAIT_PRIVATE, 0);
    EQ("private wake", futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 2);
    join(0, 2);
    put_to_sleep(0, 2, &word, FUTEX_WAIT_BITSET, 1);
    put_to_sleep(2, 1, &word, FUTEX_WAIT_BITSET, 6);
    EQ("wake by bits", futex(&word, FUTEX_WAKE_BITSET, 100, NULL, NULL, 4), 1);
    EQ("wake by other bits", futex(&word, FUTEX_WAKE_BITSET, 100, NULL, NULL, 1), 2);
    EQ("all returned 0", join(0, 3), 0);
}

static void test_requeue(void)
{
    put_to_sleep(0, 4, &word, FUTEX_WAIT, 0);
    ERR("cmp_requeue: value differs", futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)9, &word2, 77), EAGAIN);
    EQ("cmp_requeue: one woken, two moved", futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)2, &word2, 0), 3);
    EQ("two wait there", futex(&word2, FUTEX_WAKE, 100, NULL, NULL, 0), 2);
    EQ("one waits here", futex(&word, FUTEX_REQUEUE, 0, (void *)9, &word2, 0), 0 + 1);
    EQ("moved as well", futex(&word2, FUTEX_WAKE, 100, NULL, NULL, 0), 1);
    EQ("all returned 0", join(0, 4), 0);
    word2 = 5;
    put_to_sleep(0, 1, &word, FUTEX_WAIT, 0);
    unsigned op = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5);
    EQ("wake_op", futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, op), 1);
    EQ("wake_op added", word2, 8);
    join(0, 1);
    word2 = 0;
}

static void test_shared(void)
{
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        long result = futex(&shared[1], FUTEX_WAIT, 0, NULL, NULL, 0);
        _exit(result == 0 ? 21 : 22);
    }
    wait_asleep(child, child);
    EQ("wake another process", futex(&shared[1], FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    int status;
    waitpid(child, &status, 0);
    EQ("it returned 0", WEXITSTATUS(status), 21);

    int fd = (int)syscall(SYS_memfd_create, "futex", 0);
    MUST(ftruncate(fd, 4096));
    int *one = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int *two = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    put_to_sleep(0, 1, &one[3], FUTEX_WAIT, 0);
    EQ("the same word at two addresses", futex(&two[3], FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    join(0, 1);
    close(fd);
}

static int pi_word;

static void *take_pi(void *arg)
{
    sleeper_tid[0] = gettid();
    long result = futex(&pi_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
    *(long *)arg = result == 0 ? (pi_word & FUTEX_TID_MASK) == gettid() : -errno;
    futex(&pi_word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
    return NULL;
}

static void test_pi(void)
{
    EQ("lock_pi of a free word", futex(&pi_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    EQ("holds the owner", pi_word & FUTEX_TID_MASK, gettid());
    ERR("lock_pi again", futex(&pi_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    pthread_t thread;
    long taken = 0;
    sleeper_tid[0] = 0;
    pthread_create(&thread, NULL, take_pi, &taken);
    while (!sleeper_tid[0])
        sched_yield();
    wait_asleep(getpid(), sleeper_tid[0]);
    OK("waiters are marked", (pi_word & (int)FUTEX_WAITERS) != 0);
    EQ("unlock_pi", futex(&pi_word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    pthread_join(thread, NULL);
    EQ("handed over", taken, 1);
    EQ("free again", pi_word, 0);
    EQ("trylock_pi", futex(&pi_word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), 0);
    futex(&pi_word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
    ERR("unlock of another's word", (pi_word = 1, futex(&pi_word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0)), EPERM);
    pthread_mutexattr_t attr;
    pthread_mutex_t mutex;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&mutex, &attr);
    EQ("PTHREAD_PRIO_INHERIT", pthread_mutex_lock(&mutex), 0);
    EQ("and unlock", pthread_mutex_unlock(&mutex), 0);
}

struct node {
    struct robust_list list;
    int word;
};
static struct {
    struct robust_list_head head;
    struct node node;
} robust;

static void *die_robust(void *arg)
{
    robust.head.list.next = &robust.node.list;
    robust.node.list.next = &robust.head.list;
    robust.head.futex_offset = (long)((char *)&robust.node.word - (char *)&robust.node.list);
    robust.node.word = gettid() | (int)FUTEX_WAITERS;
    *(long *)arg = syscall(SYS_set_robust_list, &robust.head, sizeof robust.head);
    struct robust_list_head *head;
    size_t size;
    if (syscall(SYS_get_robust_list, 0, &head, &size) != 0 || head != &robust.head ||
        size != sizeof robust.head)
        *(long *)arg = -2;
    syscall(SYS_exit, 0);
    return NULL;
}

static void test_robust(void)
{
    pthread_t thread;
    long result = -1;
    pthread_create(&thread, NULL, die_robust, &result);
    pthread_join(thread, NULL);
    EQ("set and get the robust list", result, 0);
    EQ("a dead owner's word", robust.node.word, (int)(FUTEX_WAITERS | FUTEX_OWNER_DIED));
    ERR("bad size", syscall(SYS_set_robust_list, &robust.head, 7), EINVAL);
}

static void test_waitv(void)
{
    struct {
        uint64_t value, address;
        uint32_t flags, reserved;
    } waiters[2] = {{0, (uint64_t)(uintptr_t)&word, 2, 0}, {0, (uint64_t)(uintptr_t)&word2, 2, 0}};
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    ERR("futex_waitv times out", syscall(449, waiters, 2, 0, &t, CLOCK_MONOTONIC), ETIMEDOUT);
    waiters[1].value = 9;
    ERR("futex_waitv: value differs", syscall(449, waiters, 2, 0, NULL, 0), EAGAIN);
    ERR("futex_waitv: bad flags", syscall(449, waiters, 2, 1, NULL, 0), EINVAL);
}

int main(void)
{
    test_wait_wake();
    test_requeue();
    test_shared();
    test_pi();
    test_robust();
    test_waitv();
    return test_end();
}
