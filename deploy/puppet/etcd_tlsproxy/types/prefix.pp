# The prefix of a rule: "/", or segments with a slash before each and none at the end. A
# segment is not empty, "." or "..", and contains no control byte or backslash. The proxy
# would refuse such a prefix as well, but this check fails before any file is written.
type Etcd_tlsproxy::Prefix = Pattern[/\A(\/|(\/(?!\.{1,2}(\/|\z))[^\/\\\x00-\x1f\x7f]+)+)\z/]
