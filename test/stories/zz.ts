import { story } from "./story.ts"
import { failover, failKeeper, removeKeeper, update } from "#test/sim/operator.ts"
import { keeperUID } from "#model/ids.ts"
import { emptyDisk } from "#test/sim/disk.ts"
const show = (t: string, s: any) => console.log(t, s.primary(), JSON.stringify(s.told(), null, 0))
const go = (name: string, f: () => void) => { console.log("==", name); try { f() } catch (e) { console.log(String(e).slice(0,3000)) } }
go("reinstated", () => { const s = story({keepers:2}); s.rest(); s.told(); const p = s.primary(); const o = ["k1","k2"].find(k=>k!==p)!; 
 s.operator.change("failover", failover(s.sim, keeperUID("")));
 const revoked = () => { const r = s.sim.store.core.read(); return r.kind==="found" && r.data.cluster.status.primaryRevoked }
 for (let i=0;i<400 && !revoked();i++) s.run(0.01)
 s.powerOff(o); s.run(20); show("fk", s); s.powerOn(o); s.rest(); show("rest", s) })
go("clone", () => { const s = story({keepers:2, spec:{usePgrewind:false}}); s.rest(); s.told(); const p=s.primary(); s.powerOff(p); s.run(15); s.powerOn(p); s.rest(); show("clone", s) })
go("standby dies sync", () => { const s = story({keepers:3, spec:{synchronousReplication:true}}); s.rest(); s.told(); const r = s.sim.store.core.read(); const name = r.kind==="found" ? r.data.dbs.get(r.data.dbs.get(r.data.cluster.status.master)!.spec.synchronousStandbys![0]!)!.spec.keeperUID : ""; s.powerOff(name); s.run(20); show("sync off "+name, s); s.powerOn(name); s.rest(); show("back", s) })
