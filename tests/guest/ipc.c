/* System V shared memory, semaphores and message queues; POSIX message queues and named semaphores.
 * reference: native qemu-user 7.2 has bugs in msgctl and semctl
 */
#include "test.h"
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

static void test_shm(void)
{
    int id = (int)MUST(shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0640));
    char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
    OK("attached twice", a != (void *)-1 && b != (void *)-1 && a != b);
    strcpy(a, "shared");
    STR("the same memory", b, "shared");
    struct shmid_ds ds;
    memset(&ds, 0xff, sizeof ds);
    EQ("IPC_STAT", shmctl(id, IPC_STAT, &ds), 0);
    OK("its fields", ds.shm_segsz == 10000 && ds.shm_nattch == 2 && ds.shm_cpid == getpid() &&
                         (ds.shm_perm.mode & 0777) == 0640 && ds.shm_perm.uid == geteuid());
    pid_t child = fork();
    if (child == 0) {
        a[9999] = 'c';
        _exit(shmdt(b) == 0 ? 0 : 1);
    }
    waitpid(child, NULL, 0);
    EQ("written by a child", b[9999], 'c');
    ds.shm_perm.mode = 0600;
    EQ("IPC_SET", shmctl(id, IPC_SET, &ds), 0);
    char *place = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(place, 1 << 20);
    char *c = shmat(id, place + 4096 + 123, SHM_RND);
    OK("at an address, rounded",
       c == place + 4096 || c == (char *)((unsigned long)(place + 4096) & ~(unsigned long)(SHMLBA - 1)));
    EQ("detach", shmdt(a), 0);
    ERR("detach again", shmdt(a), EINVAL);
    EQ("IPC_RMID", shmctl(id, IPC_RMID, NULL), 0);
    STR("lives while attached", b, "shared");
    shmdt(b);
    shmdt(c);
    ERR("gone", shmctl(id, IPC_STAT, &ds), EINVAL);
    ERR("too small", shmget(IPC_PRIVATE, 0, IPC_CREAT), EINVAL);
}

static void test_sem(void)
{
    int id = (int)MUST(semget(IPC_PRIVATE, 3, 0600));
    unsigned short values[3] = {1, 2, 3}, seen[3];
    EQ("SETALL", semctl(id, 0, SETALL, (union semun){.array = values}), 0);
    EQ("GETALL", semctl(id, 0, GETALL, (union semun){.array = seen}), 0);
    OK("values", memcmp(values, seen, sizeof seen) == 0);
    struct sembuf two[2] = {{0, -1, 0}, {1, 5, 0}};
    EQ("semop", semop(id, two, 2), 0);
    EQ("GETVAL", semctl(id, 1, GETVAL), 7);
    struct sembuf no = {0, -1, IPC_NOWAIT};
    ERR("would wait", semop(id, &no, 1), EAGAIN);
    struct sembuf wait = {0, -1, 0};
    struct timespec t = {0, 20000000};
    ERR("semtimedop", semtimedop(id, &wait, 1, &t), EAGAIN);
    struct semid_ds ds;
    EQ("IPC_STAT", semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}), 0);
    EQ("count", ds.sem_nsems, 3);
    pid_t child = fork();
    if (child == 0) {
        struct sembuf undo = {2, -3, SEM_UNDO}, post = {0, 1, 0};
        semop(id, &undo, 1);
        _exit(semop(id, &post, 1) == 0 ? 0 : 1);
    }
    EQ("waits for the child", semop(id, &wait, 1), 0);
    waitpid(child, NULL, 0);
    EQ("SEM_UNDO", semctl(id, 2, GETVAL), 3);
    EQ("SETVAL", semctl(id, 2, SETVAL, (union semun){.val = 9}), 0);
    EQ("GETVAL", semctl(id, 2, GETVAL), 9);
    struct sembuf far = {7, 1, 0};
    ERR("no such semaphore", semop(id, &far, 1), EFBIG);
    EQ("IPC_RMID", semctl(id, 0, IPC_RMID), 0);
}

static void test_msg(void)
{
    struct message {
        long type;
        char text[32];
    } m = {3, "third"};
    int id = (int)MUST(msgget(IPC_PRIVATE, 0600));
    EQ("msgsnd", msgsnd(id, &m, 6, 0), 0);
    m = (struct message){1, "first"};
    EQ("msgsnd", msgsnd(id, &m, 6, 0), 0);
    struct msqid_ds ds;
    EQ("IPC_STAT", msgctl(id, IPC_STAT, &ds), 0);
    OK("its fields", ds.msg_qnum == 2 && ds.msg_lspid == getpid());
    EQ("by type", msgrcv(id, &m, 32, 1, 0), 6);
    STR("its text", m.text, "first");
    ERR("too long", msgrcv(id, &m, 2, 0, 0), E2BIG);
    EQ("cut", msgrcv(id, &m, 2, 0, MSG_NOERROR), 2);
    EQ("its type", m.type, 3);
    ERR("empty", msgrcv(id, &m, 32, 0, IPC_NOWAIT), ENOMSG);
    m.type = 0;
    ERR("bad type", msgsnd(id, &m, 2, 0), EINVAL);
    EQ("IPC_RMID", msgctl(id, IPC_RMID, NULL), 0);
    ERR("gone", msgrcv(id, &m, 32, 0, 0), EINVAL);
}

static volatile int notified;

static void on_message(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    notified = info->si_code == SI_MESGQ ? info->si_value.sival_int : -1;
}

static void test_mq(void)
{
    char name[40], text[64];
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 64}, seen;
    snprintf(name, sizeof name, "/guest-test-%d", getpid());
    mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, &attr);
    if (queue == -1 && errno == ENOSYS) {
        say("no POSIX message queues here");
        return;
    }
    OK("mq_open", queue >= 0);
    EQ("send", mq_send(queue, "low", 4, 1), 0);
    EQ("send", mq_send(queue, "high", 5, 9), 0);
    EQ("attributes", mq_getattr(queue, &seen), 0);
    OK("their values",
       seen.mq_maxmsg == 4 && seen.mq_msgsize == 64 && seen.mq_curmsgs == 2 && seen.mq_flags == O_NONBLOCK);
    unsigned priority = 0;
    EQ("the highest first", mq_receive(queue, text, sizeof text, &priority), 5);
    EQ("its priority", priority, 9);
    EQ("then the other", mq_receive(queue, text, sizeof text, NULL), 4);
    ERR("empty", mq_receive(queue, text, sizeof text, NULL), EAGAIN);
    ERR("short buffer", mq_receive(queue, text, 10, NULL), EMSGSIZE);
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 55};
    handle(SIGUSR1, on_message, 0);
    EQ("notify", mq_notify(queue, &event), 0);
    mq_send(queue, "x", 1, 0);
    for (int i = 0; i < 1000 && !notified; i++)
        sleep_ms(2);
    EQ("notified", notified, 55);
    mq_receive(queue, text, sizeof text, NULL);
    seen.mq_flags = 0;
    mq_setattr(queue, &seen, NULL);
    struct timespec past = {1, 0};
    ERR("time out", mq_timedreceive(queue, text, sizeof text, NULL, &past), ETIMEDOUT);
    mq_close(queue);
    EQ("unlink", mq_unlink(name), 0);
    ERR("gone", mq_unlink(name), ENOENT);
}

static void test_named(void)
{
    char name[40];
    snprintf(name, sizeof name, "/guest-test-%d", getpid());
    int fd = shm_open(name, O_CREAT | O_RDWR, 0600);
    if (fd < 0) {
        say("no /dev/shm here");
        return;
    }
    MUST(ftruncate(fd, 4096));
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    sem_t *semaphore = sem_open(name, O_CREAT, 0600, 0);
    OK("sem_open", semaphore != SEM_FAILED);
    pid_t child = fork();
    if (child == 0) {
        p[0] = 'c';
        sem_post(semaphore);
        _exit(0);
    }
    sem_wait(semaphore);
    EQ("shm_open and sem_open between processes", p[0], 'c');
    waitpid(child, NULL, 0);
    sem_unlink(name);
    EQ("shm_unlink", shm_unlink(name), 0);
}

int main(void)
{
    test_shm();
    test_sem();
    test_msg();
    test_mq();
    test_named();
    return test_end();
}
