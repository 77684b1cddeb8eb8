import { story } from "./story.ts"
import { failover, failKeeper, removeKeeper } from "#test/sim/operator.ts"
import { keeperUID } from "#model/ids.ts"
import { emptyDisk } from "#test/sim/disk.ts"
const show = (t: string, s: any) => console.log(t, s.primary(), JSON.stringify(s.told(), null, 0))
const go = (name: string, f: () => void) => { console.log("==", name); try { f() } catch (e) { console.log(String(e).slice(0,3000)) } }
go("init", () => { const s = story(); s.rest(); show("init", s) })
go("async", () => { const s = story({keepers:3}); s.rest(); s.told(); const p=s.primary(); s.powerOff(p); s.rest.call; s.run(15); show("off", s); s.powerOn(p); s.rest(); show("back", s) })
go("sync", () => { const s = story({keepers:3, spec:{synchronousReplication:true}}); s.rest(); show("init", s); const p=s.primary(); s.powerOff(p); s.run(15); show("off", s); s.powerOn(p); s.rest(); show("back", s) })
go("request", () => { const s = story({keepers:3}); s.rest(); s.told(); s.operator.change("failover", failover(s.sim, keeperUID(""))); s.run(10); show("req", s); s.rest(); show("rest", s) })
go("leader", () => { const s = story({sentinels:2}); s.rest(); show("init",s); const l = s.sim.world.trace.lines.find(x=>x.what==="leader.elected")!.who; s.kill(l); s.run(20); show("loss "+l, s); s.start(l); s.rest(); show("rest", s) })
go("pgdies", () => { const s = story({keepers:2}); s.rest(); s.told(); s.sim.world.kill(s.sim.hosts.get(s.primary())!.instance!.process); s.rest(); show("rest", s) })
go("remove", () => { const s = story({keepers:3}); s.rest(); s.told(); const o = ["k1","k2","k3"].find(k=>k!==s.primary())!; s.end(o); s.run(8); s.operator.change("rm", removeKeeper(keeperUID(o))); s.run(10); show("removed", s); s.start(o); s.rest(); show("back", s) })
go("lost", () => { const s = story({keepers:2}); s.rest(); s.told(); const o = ["k1","k2"].find(k=>k!==s.primary())!; s.powerOff(o); Object.assign(s.sim.hosts.get(o)!.disk, emptyDisk()); s.powerOn(o); s.run(60); show("lost", s); s.operator.change("rm", removeKeeper(keeperUID(o))); s.rest(); show("rest", s) })
go("reinstated", () => { const s = story({keepers:2}); s.rest(); s.told(); const p = s.primary(); const o = ["k1","k2"].find(k=>k!==p)!; s.powerOff(o); s.run(5); s.operator.change("fk", failKeeper(keeperUID(p))); s.run(20); show("fk", s); s.powerOn(o); s.rest(); show("rest", s) })
go("restart keeper", () => { const s = story({keepers:2}); s.rest(); s.told(); const p = s.primary(); s.kill(p); s.run(1); s.start(p); s.rest(); show("rest", s) })
