/*
 * testfn: the function that the cluster tests call. One static program, so that its cold start is
 * that of an image and not of an interpreter; a thread a connection, so that it never limits
 * concurrency itself and its counters say what the platform let in.
 *
 *   /testfn             serve HTTP/1.1 on $PORT until SIGTERM, then finish what is open
 *   /testfn get URL     print the status and the body of one GET; exit 0 only for a 200
 *
 * Environment: CRASH=1 exits at once, NEVER_LISTEN=1 waits for SIGTERM, START_DELAY_MS listens
 * later, VERSION comes back as X-Version.
 *
 *   /            hello               /sleep?ms=N   answers after N milliseconds
 *   /id?x=WORD   remembers the word  /ids          the words, one a line, in order of arrival
 *   /stats       counters as JSON    /anything     the method and target as they arrived
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES = 65536, WORD_BYTES = 64, WORDS = 200000, STACK_BYTES = 256 * 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long requests, in_flight, most_in_flight, words;
static char (*seen)[WORD_BYTES];
static char pod[256], version[64];
static atomic_bool stopping;
static atomic_int listener = -1;

static void sleep_ms(long milliseconds) {
  struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

static bool send_all(int peer, const char *data, size_t size) {
  while (size > 0) {
    ssize_t sent = send(peer, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size -= (size_t)sent;
  }
  return true;
}

static bool answer(int peer, bool keep, long now_in_flight, const char *body, size_t size) {
  char head[1024];
  int length = snprintf(head, sizeof head,
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nX-Pod: %s\r\n"
    "X-In-Flight: %ld\r\nX-Max-In-Flight: %ld\r\nX-Version: %s\r\n%s\r\n",
    size, pod, now_in_flight, most_in_flight, version, keep ? "" : "Connection: close\r\n");
  return send_all(peer, head, (size_t)length) && send_all(peer, body, size);
}

/* The value of one query parameter, up to the next '&'; "" where it is absent. */
static void parameter(const char *target, const char *name, char *value, size_t size) {
  const char *at = strchr(target, '?');
  size_t length = strlen(name), used = 0;
  while (at != NULL) {
    at++;
    if (strncmp(at, name, length) == 0 && at[length] == '=') {
      for (at += length + 1; *at && *at != '&' && used + 1 < size; at++) value[used++] = *at;
      break;
    }
    at = strchr(at, '&');
  }
  value[used] = 0;
}

static void remember(const char *word) {
  pthread_mutex_lock(&lock);
  if (seen == NULL) seen = calloc(WORDS, WORD_BYTES);
  if (seen != NULL && words < WORDS) snprintf(seen[words++], WORD_BYTES, "%s", word);
  pthread_mutex_unlock(&lock);
  printf("id %s\n", word);
}

static bool answer_words(int peer, bool keep) {
  pthread_mutex_lock(&lock);
  char *text = malloc((size_t)words * WORD_BYTES + 1);
  size_t size = 0;
  for (long n = 0; text != NULL && n < words; n++)
    size += (size_t)sprintf(text + size, "%s\n", seen[n]);
  pthread_mutex_unlock(&lock);
  bool sent = text != NULL && answer(peer, keep, 0, text, size);
  free(text);
  return sent;
}

static bool is_path(const char *target, const char *path) {
  size_t length = strlen(path);
  return strncmp(target, path, length) == 0 && (target[length] == 0 || target[length] == '?');
}

static bool serve_counted(int peer, const char *method, const char *target, bool keep) {
  char body[HEAD_BYTES], value[WORD_BYTES];
  pthread_mutex_lock(&lock);
  requests++;
  long now = ++in_flight;
  if (now > most_in_flight) most_in_flight = now;
  pthread_mutex_unlock(&lock);
  int size = snprintf(body, sizeof body, "%s %s\n", method, target);
  if (is_path(target, "/")) size = snprintf(body, sizeof body, "hello\n");
  if (is_path(target, "/sleep")) {
    parameter(target, "ms", value, sizeof value);
    sleep_ms(atol(value));
  }
  if (is_path(target, "/id")) {
    parameter(target, "x", value, sizeof value);
    remember(value);
  }
  pthread_mutex_lock(&lock);
  in_flight--; /* before the answer: the next request may come in as soon as it is read */
  pthread_mutex_unlock(&lock);
  return answer(peer, keep, now, body, (size_t)size);
}

static bool serve_request(int peer, const char *method, const char *target, bool keep) {
  char body[512];
  if (is_path(target, "/ids")) return answer_words(peer, keep);
  if (!is_path(target, "/stats")) return serve_counted(peer, method, target, keep);
  pthread_mutex_lock(&lock);
  int size = snprintf(body, sizeof body,
    "{\"pod\": \"%s\", \"requests\": %ld, \"inFlight\": %ld, \"maxInFlight\": %ld}\n",
    pod, requests, in_flight, most_in_flight);
  pthread_mutex_unlock(&lock);
  return answer(peer, keep, 0, body, (size_t)size);
}

/* The value of a header inside the head, or NULL. */
static const char *header(const char *head, const char *name) {
  size_t length = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
    if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':')
      return line + 3 + length + strspn(line + 3 + length, " ");
  return NULL;
}

/* Reads and forgets a body of known length; what of it came with the head is in the buffer. */
static bool skip_body(int peer, char *buffer, size_t *held, size_t head_size, long long length) {
  size_t here = *held - head_size;
  if ((long long)here > length) here = (size_t)length;
  memmove(buffer, buffer + head_size + here, *held - head_size - here);
  *held -= head_size + here;
  char waste[65536];
  for (long long left = length - (long long)here; left > 0;) {
    size_t most = left < (long long)sizeof waste ? (size_t)left : sizeof waste;
    ssize_t got = recv(peer, waste, most, 0);
    if (got <= 0) return false;
    left -= got;
  }
  return true;
}

static bool one_exchange(int peer, char *buffer, size_t *held) {
  char *end;
  buffer[*held] = 0;
  while ((end = strstr(buffer, "\r\n\r\n")) == NULL) {
    if (*held >= HEAD_BYTES - 1) return false;
    ssize_t got = recv(peer, buffer + *held, HEAD_BYTES - 1 - *held, 0);
    if (got <= 0) return false;
    *held += (size_t)got;
    buffer[*held] = 0;
  }
  end[2] = 0;
  char method[16], *target = malloc(HEAD_BYTES);
  bool known = target != NULL && sscanf(buffer, "%15s %65000s", method, target) == 2;
  const char *length = header(buffer, "content-length"), *expect = header(buffer, "expect");
  const char *connection = header(buffer, "connection");
  bool close_asked = connection != NULL && strncasecmp(connection, "close", 5) == 0;
  bool chunked = header(buffer, "transfer-encoding") != NULL;
  long long body = length == NULL ? 0 : atoll(length);
  if (expect != NULL) send_all(peer, "HTTP/1.1 100 Continue\r\n\r\n", 25);
  bool keep = !close_asked && !chunked && !stopping;
  bool served = known && skip_body(peer, buffer, held, (size_t)(end - buffer) + 4, body)
    && serve_request(peer, method, target, keep);
  free(target);
  return served && keep && !stopping;
}

static void *serve(void *argument) {
  int peer = (int)(long)argument, yes = 1;
  setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  char *buffer = malloc(HEAD_BYTES);
  size_t held = 0;
  while (buffer != NULL && one_exchange(peer, buffer, &held)) {}
  free(buffer);
  shutdown(peer, SHUT_WR);
  close(peer);
  return NULL;
}

static void fail(const char *what) {
  fprintf(stderr, "testfn: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void on_term(int signal) {
  (void)signal;
  stopping = true;
  shutdown(listener, SHUT_RDWR); /* ends accept() */
}

static int listen_on(int port) {
  int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(made, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
  if (listen(made, 4096) != 0) fail("listen");
  return made;
}

static void finish(void) {
  for (int tenths = 0; tenths < 36000; tenths++) {
    pthread_mutex_lock(&lock);
    bool idle = in_flight == 0;
    pthread_mutex_unlock(&lock);
    sleep_ms(100); /* also after the last one, so that its answer leaves */
    if (idle) break;
  }
  printf("served %ld, at most %ld at once\n", requests, most_in_flight);
}

static int serve_all(void) {
  const char *delay = getenv("START_DELAY_MS"), *port = getenv("PORT");
  if (delay != NULL) sleep_ms(atol(delay));
  listener = listen_on(port == NULL ? 8080 : atoi(port));
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&small, STACK_BYTES);
  while (!stopping) {
    int peer = accept(listener, NULL, NULL);
    pthread_t thread;
    if (peer < 0) continue;
    if (pthread_create(&thread, &small, serve, (void *)(long)peer) != 0) close(peer);
  }
  close(listener);
  finish();
  return 0;
}

static int dial(const char *host, const char *port) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *found;
  int problem = getaddrinfo(host, port, &hints, &found);
  if (problem != 0) {
    fprintf(stderr, "testfn: %s: %s\n", host, gai_strerror(problem));
    exit(1);
  }
  int made = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(made, found->ai_addr, found->ai_addrlen) != 0) fail(host);
  freeaddrinfo(found);
  return made;
}

static int get(const char *url) {
  char host[256] = "", port[16] = "80", path[4096] = "/", text[8192], *colon;
  if (sscanf(url, "http://%255[^/]%4095s", host, path) < 1) {
    fprintf(stderr, "testfn: %s: write http://host[:port]/path\n", url);
    return 2;
  }
  int size = snprintf(text, sizeof text,
    "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
  if ((colon = strchr(host, ':')) != NULL) {
    snprintf(port, sizeof port, "%s", colon + 1);
    *colon = 0;
  }
  int peer = dial(host, port);
  if (!send_all(peer, text, (size_t)size)) fail("send");
  size_t held = 0;
  for (ssize_t got; held < sizeof text - 1; held += (size_t)got)
    if ((got = recv(peer, text + held, sizeof text - 1 - held, 0)) <= 0) break;
  text[held] = 0;
  printf("%s", text);
  return strncmp(text, "HTTP/1.1 200", 12) == 0 ? 0 : 1;
}

int main(int count, char **words_given) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (count == 3 && strcmp(words_given[1], "get") == 0) return get(words_given[2]);
  if (getenv("CRASH") != NULL) {
    fprintf(stderr, "testfn: it was asked to crash\n");
    return 1;
  }
  gethostname(pod, sizeof pod - 1);
  if (getenv("VERSION") != NULL) snprintf(version, sizeof version, "%s", getenv("VERSION"));
  struct sigaction action = {.sa_handler = on_term};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  if (getenv("NEVER_LISTEN") == NULL) return serve_all();
  while (!stopping) pause();
  return 0;
}
