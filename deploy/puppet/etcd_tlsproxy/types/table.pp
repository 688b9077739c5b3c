# One table of the configuration file. Which keys there are the proxy knows: it checks
# the file before it is put in place.
type Etcd_tlsproxy::Table = Hash[Pattern[/\A[a-z0-9_]+\z/], Variant[Boolean, Integer, String, Array[String]]]
