# One table of the configuration file. The proxy knows which keys are valid, and checks the
# file before it is put in place.
type Etcd_tlsproxy::Table = Hash[Pattern[/\A[a-z0-9_]+\z/], Variant[Boolean, Integer, String, Array[String]]]
