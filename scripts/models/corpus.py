"""Everyday English sentences and paraphrase pairs, generated from templates. Seeded, repeatable.

`python corpus.py --sentences 2000 --seed 7` prints sentences, one per line.
"""
import argparse
import random

PEOPLE = "the manager,a student,my neighbour,the doctor,an old friend,the teacher,our guide,a young woman,the driver,the chef,a farmer,the lawyer,my sister,the engineer,a tourist,the mayor,the librarian,a nurse,the captain,their uncle".split(",")
VERBS = [("bought", "purchased"), ("repaired", "fixed"), ("described", "explained"), ("found", "discovered"), ("carried", "brought"), ("painted", "coloured"), ("sold", "gave up for money"), ("chose", "selected"), ("forgot", "did not remember"), ("showed", "presented"), ("built", "put together"), ("destroyed", "ruined"), ("examined", "looked closely at"), ("borrowed", "took for a while"), ("praised", "spoke well of"), ("refused", "turned down")]
ADJECTIVES = [("large", "big"), ("old", "ancient"), ("beautiful", "lovely"), ("cheap", "inexpensive"), ("broken", "damaged"), ("strange", "odd"), ("quiet", "silent"), ("famous", "well known"), ("dangerous", "unsafe"), ("modern", "up to date"), ("tiny", "very small"), ("expensive", "costly"), ("heavy", "hard to lift"), ("simple", "easy")]
THINGS = "car,house,painting,letter,bridge,computer,garden,camera,novel,bicycle,violin,telescope,contract,map,boat,bread oven,wooden chair,medicine,coat,printer,song,recipe,phone,painting brush,window,suitcase,ticket,guitar,lamp,newspaper".split(",")
PLACES = "in the old town,near the harbour,at the railway station,behind the school,on the top floor,in a small village,at the airport,across the river,in the mountains,at the market,outside the hospital,in the museum,by the lake,on the island,at the office".split(",")
TIMES = "yesterday,last week,on Monday morning,two years ago,before sunrise,after the meeting,during the storm,in the spring,at midnight,a few days later,this afternoon,on the way home".split(",")
TOPICS = ["the weather forecast", "interest rates", "the football match", "a new vaccine", "climate change", "the election", "space travel", "healthy cooking", "machine translation", "ancient history", "public transport", "music lessons", "data protection", "the price of oil", "solar energy", "childhood memories", "the stock market", "garden plants", "tax law", "heart disease", "ocean currents", "software updates", "wild animals", "job interviews", "modern art"]
QUESTIONS = [("How can I {do}?", "What is the best way to {do}?"), ("Why is it hard to {do}?", "What makes it difficult to {do}?"), ("When should people {do}?", "What is the right time to {do}?"), ("Is it safe to {do}?", "Can I {do} without danger?"), ("How much does it cost to {do}?", "What do I have to pay to {do}?")]
ACTIONS = "reset a forgotten password,learn a new language,grow tomatoes on a balcony,change a flat tyre,apply for a passport,lower my blood pressure,bake sourdough bread,rent a flat in a big city,back up my photographs,train a young dog,write a letter of complaint,travel by train across the country,save money for retirement,fix a leaking tap,remove a coffee stain,prepare for an exam,start a small business,fall asleep faster,choose a laptop,store fresh vegetables,cancel a subscription,recover deleted files,run a marathon,clean a wooden floor,teach children to read".split(",")
FACTS = [("{a} is colder than {b}.", "{b} is warmer than {a}."), ("{a} lies north of {b}.", "{b} lies south of {a}."), ("{a} has more inhabitants than {b}.", "Fewer people live in {b} than in {a}."), ("Many people travel from {a} to {b} every day.", "Every day a lot of travellers go to {b} from {a}.")]
CITIES = "Oslo,Madrid,Cairo,Toronto,Lima,Nairobi,Berlin,Tokyo,Sydney,Dublin,Athens,Mumbai,Helsinki,Boston,Warsaw".split(",")
REPORTS = [("Experts warned that {t} could cause serious problems next year.", "According to specialists, serious trouble may come from {t} next year."), ("The lecture about {t} was cancelled because too few people came.", "Because of low attendance, the talk on {t} did not take place."), ("A new study about {t} surprised the researchers.", "Researchers did not expect the results of the latest study on {t}."), ("She wrote a long article about {t} for the local newspaper.", "The local paper printed a long piece on {t} that she had written."), ("Nobody in the room wanted to talk about {t}.", "Everyone present avoided the subject of {t}."), ("The government announced stricter rules on {t}.", "Tougher regulation of {t} was announced by the government.")]


def pair(rng):
    """Two sentences that mean the same."""
    kind = rng.randrange(5)
    if kind == 0:
        who, (v, v2), (a, a2) = rng.choice(PEOPLE), rng.choice(VERBS), rng.choice(ADJECTIVES)
        thing, place, time = rng.choice(THINGS), rng.choice(PLACES), rng.choice(TIMES)
        return f"{who} {v} the {a} {thing} {place} {time}.".capitalize(), f"{time}, {who} {v2} the {a2} {thing} {place}.".capitalize()
    if kind == 1:
        q, q2 = rng.choice(QUESTIONS)
        do = rng.choice(ACTIONS)
        return q.format(do=do), q2.format(do=do)
    if kind == 2:
        f, f2 = rng.choice(FACTS)
        a, b = rng.sample(CITIES, 2)
        return f.format(a=a, b=b), f2.format(a=a, b=b)
    if kind == 3:
        r, r2 = rng.choice(REPORTS)
        t = rng.choice(TOPICS)
        return r.format(t=t), r2.format(t=t)
    who, other = rng.sample(PEOPLE, 2)
    (a, a2), thing, topic = rng.choice(ADJECTIVES), rng.choice(THINGS), rng.choice(TOPICS)
    return f"{who} told {other} about {topic} while looking for the {a} {thing}.".capitalize(), f"While searching for the {a2} {thing}, {who} talked to {other} about {topic}.".capitalize()


def sentence(rng):
    """One sentence; now and then two or more joined into a longer text."""
    parts = [pair(rng)[rng.randrange(2)] for _ in range(rng.choices([1, 2, 3, 6, 12], [70, 18, 7, 4, 1])[0])]
    return " ".join(parts)


def sentences(count, seed):
    """`count` different sentences."""
    rng, seen = random.Random(seed), {}
    while len(seen) < count:
        seen[sentence(rng)] = None
    return list(seen)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    print("\n".join(sentences(args.sentences, args.seed)))
