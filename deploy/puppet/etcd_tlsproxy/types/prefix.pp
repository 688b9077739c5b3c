# The prefix of a rule: "/", or segments with one slash before each and none at the
# end. What is no segment (empty, ".", "..", a control byte, a backslash) the proxy would
# refuse as well; here it fails before anything is written.
type Etcd_tlsproxy::Prefix = Pattern[/\A(\/|(\/(?!\.{1,2}(\/|\z))[^\/\\\x00-\x1f\x7f]+)+)\z/]
